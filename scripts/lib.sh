# Shared by the scripts beside it; source it from the repository root's scripts/ folder.
# shellcheck shell=bash
set -euo pipefail

ILF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ILF_SCRIPT=$(realpath "$0")
cd "$ILF_ROOT"

say() { printf '== %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints the comment at the head of the script that runs.
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$ILF_SCRIPT" | grep -v '^shellcheck'; }

# How many compilers may run at once: one for each processor, but no more than one for each 1.5 GB of
# memory that is free (a file that includes LibTorch needs that much).
parallel_jobs() {
  local processors free_kb limit used by_memory
  processors=$(nproc)
  free_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  if [[ -r /sys/fs/cgroup/memory.max && -r /sys/fs/cgroup/memory.current ]]; then
    limit=$(</sys/fs/cgroup/memory.max)
    used=$(</sys/fs/cgroup/memory.current)
    if [[ $limit != max ]] && (((limit - used) / 1024 < free_kb)); then
      free_kb=$(((limit - used) / 1024))
    fi
  fi
  by_memory=$((free_kb / 1500000))
  ((by_memory >= 1)) || by_memory=1
  echo $((by_memory < processors ? by_memory : processors))
}

# build_preset PRESET [TARGET...]: configures build/PRESET and builds the targets (default: everything).
build_preset() {
  local preset=$1 jobs
  shift
  local targets=()
  (($# == 0)) || targets=(--target "$@")
  jobs=$(parallel_jobs)
  say "building $preset (${*:-everything}) with $jobs jobs"
  cmake --preset "$preset" --log-level=WARNING
  cmake --build "build/$preset" --parallel "$jobs" "${targets[@]}"
}
