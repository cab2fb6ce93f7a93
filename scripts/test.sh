#!/usr/bin/env bash
# Installs, builds and runs every test: under the sanitizers what can run there, then everything.
#
#   tsan      what needs neither LibTorch nor gRPC (base, api, batching, runtime), built by clang, whose
#             -Wthread-safety checks the lock annotations at compile time
#   asan      what reads files and requests: checkpoint reading, request validation, prompts, TLS files
#   release   all tests, the checks of scripts/ included
#
# Stops at the first of these that fails. A second run rebuilds nothing.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly ASAN_FOLDERS=(checkpoint fuzz server text tls)

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  show_help
  exit
fi

run_tests() {
  local preset=$1
  shift
  say "testing $preset"
  ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error "$@"
}

scripts/install.sh --lint

build_preset release
build_preset tsan
asan_targets=("${ASAN_FOLDERS[@]/#/tests/}")
build_preset asan "${asan_targets[@]/%//all}"

run_tests tsan
run_tests asan --label-regex "^($(IFS='|' && echo "${ASAN_FOLDERS[*]}"))$"
run_tests release
