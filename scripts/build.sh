#!/usr/bin/env bash
# Configures and builds a preset of CMakePresets.json.
#
#   scripts/build.sh [PRESET [TARGET...]]     default: release, everything
#
# Executables land in build/PRESET/bin. scripts/install.sh installs what this needs.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  show_help
  exit
fi
build_preset "${@:-release}"
