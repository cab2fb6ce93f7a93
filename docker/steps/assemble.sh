#!/usr/bin/env bash
# Build stage: lays out what the image holds besides Debian packages.
#
#   docker/steps/assemble.sh FOLDER
#
#   opt/ilf/bin        ilf-server and ilf-client, stripped
#   opt/ilf/lib        the libraries of LibTorch that they load, in the folders that the wheels give them,
#                      because the libraries find each other by relative paths
#   opt/ilf/licenses   of what does not come from a Debian package
#   etc/ilf            the configuration of the default command
#   models             what ships with the server
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$1
site=$(echo .deps/venv/lib/python3*/site-packages)
lib=$image/opt/ilf/lib

# copy_library FILE: copies torch/lib/FILE and, in turn, what it needs from there. What is not there is
# Debian's.
copy_library() {
  local needed
  if [[ ! -e $site/torch/lib/$1 || -e $lib/torch/lib/$1 ]]; then return; fi
  install -D -m 644 "$site/torch/lib/$1" "$lib/torch/lib/$1"
  while read -r needed; do copy_library "$needed"; done < <(needed_by "$lib/torch/lib/$1")
}

needed_by() { objdump -p "$1" | awk '$1 == "NEEDED" {print $2}'; }

rm -rf "$image"
cmake --install build/release --component image --strip --prefix "$image/opt/ilf"
for program in "$image"/opt/ilf/bin/*; do
  while read -r needed; do copy_library "$needed"; done < <(needed_by "$program")
done
if [[ -e $lib/torch/lib/libtorch_cuda.so ]]; then
  # Opened by name when they are first used.
  copy_library libtorch_cuda_linalg.so
  copy_library libcaffe2_nvrtc.so
  (cd "$site" && find nvidia -name '*.so*' -type f -exec cp --parents -t "$lib" {} +)
fi

licenses=$image/opt/ilf/licenses
install -D -m 644 LICENSE "$licenses/ilf-server/LICENSE"
install -D -m 644 .deps/sentencepiece/LICENSE "$licenses/sentencepiece/LICENSE"
mkdir "$licenses/torch"
cp -r "$site"/torch-*.dist-info/licenses/. "$licenses/torch/"
install -D -m 644 docker/ilf.textproto "$image/etc/ilf/ilf.textproto"
mkdir "$image/models"
cp -r models/*/ "$image/models/"
chmod -R u=rwX,go=rX "$image"
