#!/usr/bin/env bash
# Installs what building and running need, on Debian 12: the packages of scripts/apt-packages.txt,
# LibTorch from scripts/requirements.txt into the virtual environment .deps/venv, and SentencePiece, built
# from the source package of scripts/requirements-source.txt, into .deps/sentencepiece.
#
#   scripts/install.sh [--training] [--lint]
#
#   --training   also what training the shipped model needs (scripts/apt-packages-training.txt)
#   --lint       also the linters that scripts/test.sh runs (scripts/requirements-lint.txt)
#
# A LibTorch of your own is used in place of the installed one: set LIBTORCH_ROOT, or CMAKE_PREFIX_PATH, to
# the unpacked folder (the one that holds include/ and lib/). The same goes for SentencePiece and
# CMAKE_PREFIX_PATH. Asks nothing; run again, it does nothing.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly VENV=.deps/venv
readonly SENTENCEPIECE=.deps/sentencepiece
readonly PIP_OPTIONS=(--quiet --no-input --disable-pip-version-check --progress-bar off)

# install_packages LIST: installs the Debian packages of the list that are missing.
install_packages() {
  local list=$1 package missing=()
  command -v dpkg-query >/dev/null ||
    die "this is not a Debian: install the equivalents of $list, then run scripts/build.sh"
  local installed
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n')
  while read -r package; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
  done <"$list"
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "run this as root, or install these packages yourself: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
    -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || die "apt-get update failed: is the network up?"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null ||
    die "apt-get could not install: ${missing[*]}"
}

# Prints the LibTorch that the environment names, if it does; fails if LIBTORCH_ROOT names none.
given_libtorch() {
  local folder folders
  if [[ -n ${LIBTORCH_ROOT:-} ]]; then
    [[ -f $LIBTORCH_ROOT/include/ATen/ATen.h ]] ||
      die "LIBTORCH_ROOT=$LIBTORCH_ROOT holds no include/ATen/ATen.h"
    echo "$LIBTORCH_ROOT"
    return
  fi
  IFS=':;' read -ra folders <<<"${CMAKE_PREFIX_PATH:-}"
  for folder in "${folders[@]}"; do
    if [[ -f $folder/include/ATen/ATen.h ]]; then
      echo "$folder"
      return
    fi
  done
}

# make_venv: makes the virtual environment unless it is there.
make_venv() {
  if "$VENV/bin/python" -c '' 2>/dev/null; then return; fi
  say "making the virtual environment $VENV"
  rm -rf "$VENV"
  python3 -m venv "$VENV" || die "python3 -m venv failed (Debian has it in python3-venv)"
}

# install_python LIST: installs the Python packages of the list into the virtual environment. A stamp with
# the list's checksum says that this was done.
install_python() {
  local list=$1 stamp checksum
  stamp=$VENV/installed-$(basename "$list" .txt)
  checksum=$(sha256sum <"$list")
  if [[ -f $stamp && $(<"$stamp") == "$checksum" ]]; then
    return
  fi
  make_venv
  say "installing into $VENV: $(tr '\n' ' ' <"$list")"
  "$VENV/bin/python" -m pip install "${PIP_OPTIONS[@]}" -r "$list" || die "pip could not install $list"
  echo "$checksum" >"$stamp"
}

# Prints the SentencePiece that CMAKE_PREFIX_PATH names, if it does.
given_sentencepiece() {
  local folder folders
  IFS=':;' read -ra folders <<<"${CMAKE_PREFIX_PATH:-}"
  for folder in "${folders[@]}"; do
    if [[ -f $folder/include/sentencepiece_processor.h ]]; then
      echo "$folder"
      return
    fi
  done
}

# install_sentencepiece LIST: builds the static library from the source package that the list pins, with
# the system's protobuf. The stamp says for which package and which protobuf this was done.
install_sentencepiece() {
  local list=$1 stamp=$SENTENCEPIECE/installed wanted work source
  wanted=$(sha256sum <"$list" && protoc --version)
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    return
  fi
  make_venv
  say "building into $SENTENCEPIECE: $(head -1 "$list")"
  mkdir -p .deps
  work=$(mktemp -d .deps/sentencepiece-build.XXXXXX)
  "$VENV/bin/python" -m pip download "${PIP_OPTIONS[@]}" --no-deps --no-binary :all: \
    --require-hashes -r "$list" -d "$work" || die "pip could not download what $list names"
  tar -xf "$work"/sentencepiece-*.tar.gz -C "$work"
  source=$(echo "$work"/sentencepiece-*/sentencepiece)
  {
    cmake -S "$source" -B "$work/build" -G Ninja -Wno-dev -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DSPM_PROTOBUF_PROVIDER=package -DSPM_ENABLE_SHARED=OFF \
      -DSPM_ENABLE_TCMALLOC=OFF
    cmake --build "$work/build" --parallel "$(parallel_jobs)" --target sentencepiece-static
  } >"$work/log" 2>&1 || true
  [[ -f $work/build/src/libsentencepiece.a ]] || die "SentencePiece did not build: see $work/log"
  rm -rf "$SENTENCEPIECE"
  mkdir -p "$SENTENCEPIECE"/{include,lib}
  cp "$source/src/sentencepiece_processor.h" "$SENTENCEPIECE/include/"
  cp "$work/build/src/libsentencepiece.a" "$SENTENCEPIECE/lib/"
  cp "$source/LICENSE" "$SENTENCEPIECE/"
  echo "$wanted" >"$stamp"
  rm -rf "$work"
}

main() {
  local training=false lint=false argument libtorch sentencepiece
  for argument in "$@"; do
    case $argument in
      --training) training=true ;;
      --lint) lint=true ;;
      -h | --help)
        show_help
        exit
        ;;
      *) die "unknown argument $argument (see --help)" ;;
    esac
  done

  install_packages scripts/apt-packages.txt
  if $training; then install_packages scripts/apt-packages-training.txt; fi
  libtorch=$(given_libtorch)
  if [[ -n $libtorch ]]; then
    say "using the LibTorch in $libtorch"
  else
    install_python scripts/requirements.txt
  fi
  sentencepiece=$(given_sentencepiece)
  if [[ -n $sentencepiece ]]; then
    say "using the SentencePiece in $sentencepiece"
  else
    install_sentencepiece scripts/requirements-source.txt
  fi
  if $lint; then install_python scripts/requirements-lint.txt; fi
  say "everything that the build needs is installed"
}

main "$@"
