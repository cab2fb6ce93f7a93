#!/usr/bin/env bash
# Starts three ilf-server processes and holds them to docs/scaling.md: behind HAProxy, with the configuration
# of deploy/scale-out, and with gRPC's own round_robin. Even load, a killed replica, a drained one, cancelled
# calls, and the same bytes from whichever replica; prints what it counted, and fails on what is not so.
#
#   scripts/check_scale_out.sh [--bin DIR] [--base_port N] [--steps N] [--streams N] [--only SCENARIO...]
#
# Needs the built server (--bin, default build/release/bin), models/fashion-dit, python3, and a free range of 20
# ports (--base_port, default 17400). Takes HAProxy from the PATH, else from Debian's packages of
# scripts/apt-packages-scale-out.txt, which it unpacks without installing them; the Python packages are those of
# scripts/requirements-scale-out.txt. All of it goes to $SCALE_OUT_TOOLS (default: .deps/scale-out).
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly TOOLS=${SCALE_OUT_TOOLS:-.deps/scale-out}
readonly PACKAGES=scripts/apt-packages-scale-out.txt
readonly REQUIREMENTS=scripts/requirements-scale-out.txt

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  show_help
  exit
fi

# Sets $haproxy, and LD_LIBRARY_PATH where it was unpacked.
find_haproxy() {
  local folder
  for folder in $(tr ':' ' ' <<<"$PATH") /usr/sbin; do
    if [[ -x $folder/haproxy ]]; then
      haproxy=$folder/haproxy
      return
    fi
  done
  haproxy=$TOOLS/root/usr/sbin/haproxy
  if [[ ! -x $haproxy ]]; then
    say "unpacking into $TOOLS: $(tr '\n' ' ' <"$PACKAGES")"
    rm -rf "$TOOLS/debs" "$TOOLS/unpacked"
    mkdir -p "$TOOLS/debs" "$TOOLS/unpacked"
    xargs -a "$PACKAGES" env -C "$TOOLS/debs" apt-get -q -q -o APT::Sandbox::User="$(id -un)" download ||
      die "apt-get could not download what $PACKAGES names (apt-get update?)"
    for package in "$TOOLS"/debs/*.deb; do dpkg-deb --extract "$package" "$TOOLS/unpacked"; done
    rm -rf "$TOOLS/root"
    mv "$TOOLS/unpacked" "$TOOLS/root"
  fi
  for folder in "$TOOLS"/root/usr/lib/*-linux-*/; do
    export LD_LIBRARY_PATH=$ILF_ROOT/$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  done
}

# A stamp with the checksum of what it was made of says that the environment is there.
make_python() {
  local checksum
  checksum=$(cat "$REQUIREMENTS" proto/ilf/v1/*.proto | sha256sum)
  if [[ -f $TOOLS/made && $(<"$TOOLS/made") == "$checksum" ]]; then return; fi
  say "installing into $TOOLS: $(tr '\n' ' ' <"$REQUIREMENTS")"
  mkdir -p "$TOOLS/stubs"
  python3 -m venv "$TOOLS/venv"
  "$TOOLS/venv/bin/python" -m pip install --quiet --quiet --no-input --disable-pip-version-check -r "$REQUIREMENTS" ||
    die "pip could not install $REQUIREMENTS"
  "$TOOLS/venv/bin/python" -m grpc_tools.protoc -Iproto --python_out="$TOOLS/stubs" \
    --grpc_python_out="$TOOLS/stubs" proto/ilf/v1/image_generation.proto
  echo "$checksum" >"$TOOLS/made"
}

find_haproxy
make_python
"$haproxy" -v | sed -n 1p
PYTHONPATH=$TOOLS/stubs exec "$TOOLS/venv/bin/python" tests/scale_out/scale_out.py --haproxy "$haproxy" "$@"
