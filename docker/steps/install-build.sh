#!/usr/bin/env bash
# Build stage: installs what building needs, and checks that the LibTorch is the wanted one. Which one pip
# brings depends on the platform and on the package index, not on a flag.
#
#   docker/steps/install-build.sh cpu|cuda
set -euo pipefail
cd "$(dirname "$0")/../.."

libtorch=$1
scripts/install.sh
rm -rf /var/lib/apt/lists/*

libraries=$(echo .deps/venv/lib/python3*/site-packages/torch/lib)
found=cpu
if [[ -e $libraries/libtorch_cuda.so ]]; then found=cuda; fi
if [[ $libtorch != "$found" ]]; then
  echo "error: LIBTORCH=$libtorch, but pip brought a $found build of torch (docs/deployment.md, Image)" >&2
  exit 1
fi
