#!/usr/bin/env bash
# Build stage: builds ilf-server and ilf-client into build/release/bin.
set -euo pipefail
cd "$(dirname "$0")/../.."

cmake --preset release --log-level=WARNING -DILF_BUILD_TESTS=OFF -DILF_BUILD_BENCHMARKS=OFF
scripts/build.sh release ilf-server ilf-client
