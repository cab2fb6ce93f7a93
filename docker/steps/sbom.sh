#!/usr/bin/env bash
# SBOM stage: writes OUT/ilf-server.cdx.json, which lists what the image holds (CycloneDX).
#
#   docker/steps/sbom.sh FOLDER DPKG OUT     what assemble.sh made, the final stage's /var/lib/dpkg
set -euo pipefail
cd "$(dirname "$0")/../.."

python3 -m venv .deps/sbom
.deps/sbom/bin/pip install --quiet --no-input --disable-pip-version-check -r docker/requirements-sbom.txt
mkdir -p "$3"
.deps/sbom/bin/python docker/sbom.py --image "$1" --dpkg "$2" --out "$3/ilf-server.cdx.json"
