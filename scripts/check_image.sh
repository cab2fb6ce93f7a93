#!/usr/bin/env bash
# Checks docker/: lints the Dockerfile, the compose file and what it mounts, builds the image without a
# Docker engine, and runs it. Ends with the image's size.
#
#   scripts/check_image.sh [--lint] [--bind HOST:IMAGE[:ro]]... [--work FOLDER]
#
#   --lint            only what needs no build: hadolint, docker compose config, promtool
#   --bind HOST:IMAGE[:ro] mounts a path of this machine into the build's RUN steps: a pip.conf, say, or a
#                     folder for /root/.cache/ccache
#   --work FOLDER     where base root and layers are kept (default: /var/tmp/ilf-image); a second run goes on
#                     with them. For a fresh one name another folder
#
# buildah runs docker/Dockerfile with chroot as its isolation. Its base image is a bare Debian 12 that
# debootstrap makes (from $DEBIAN_MIRROR, or its default), so no image registry is needed. What comes out is
# run as its own configuration says, in namespaces of its own: as its user, without capabilities, every file
# read-only.
#
# Needs root, about 6 GB, and the Debian packages of scripts/apt-packages-image.txt. The linters of
# scripts/requirements-image.txt go to .deps/image.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly TOOLS=.deps/image/bin
readonly IMAGE=localhost/ilf-server:checked
readonly BASE=localhost/debian:12-slim
readonly TOOLCHAIN='as c++ cc clang cmake cpp g++ gcc ld make ninja pip python3'

WORK=/var/tmp/ilf-image
BINDS=()

install_tools() {
  local package
  while read -r package; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      die "install the packages of scripts/apt-packages-image.txt ($package is missing)"
  done <scripts/apt-packages-image.txt
  [[ -d .deps/image ]] || python3 -m venv .deps/image
  "$TOOLS/pip" install --quiet --quiet --no-input --disable-pip-version-check -r scripts/requirements-image.txt
}

# refuses WHY COMMAND...: the command must fail.
refuses() {
  local why=$1
  shift
  if "$@" >/dev/null 2>&1; then die "the check does not see $why"; fi
}

compose() { "$TOOLS/docker-compose" --file "${1:-docker/compose.yaml}" config --format json; }

# check_prometheus RULES: the configuration, with the rules of a folder.
check_prometheus() {
  local rules=$1 config
  config=$(mktemp)
  sed "s|/etc/prometheus/rules/|$rules/|" docker/prometheus/prometheus.yaml >"$config"
  promtool check config "$config" && rm "$config"
}

check_lint() {
  local scratch
  scratch=$(mktemp -d)
  say "hadolint"
  "$TOOLS/hadolint" docker/Dockerfile
  sed 's/^USER .*/USER root/' docker/Dockerfile >"$scratch/Dockerfile"
  refuses "a Dockerfile that runs as root" "$TOOLS/hadolint" "$scratch/Dockerfile"

  say "docker compose config"
  compose >"$scratch/compose.json"
  sed 's/read_only:/readonly:/' docker/compose.yaml >"$scratch/compose.yaml"
  refuses "a key that compose does not know" compose "$scratch/compose.yaml"
  "$TOOLS/python" scripts/check_compose.py "$scratch/compose.json"

  say "promtool check config"
  check_prometheus "$PWD/dashboards/rules"
  mkdir "$scratch/rules"
  echo 'groups: [{name: a, rules: [{record: b, expr: "sum("}]}]' >"$scratch/rules/wrong.yaml"
  refuses "a rule that does not parse" check_prometheus "$scratch/rules"
  rm -r "$scratch"
}

buildah() { command buildah --root "$WORK/storage" --runroot "$WORK/run" "$@"; }

make_base() {
  local container
  if buildah inspect --type image "$BASE" >/dev/null 2>&1; then return; fi
  say "debootstrap"
  container=$(buildah from scratch)
  debootstrap --variant=minbase bookworm "$(buildah mount "$container")" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} \
    >"$WORK/debootstrap.log" ||
    die "debootstrap failed: see $WORK/debootstrap.log"
  buildah commit --quiet --rm "$container" "$BASE" >/dev/null
}

build_image() {
  local bind binds=()
  for bind in "${BINDS[@]}"; do binds+=(--volume "$bind"); done
  say "buildah build"
  buildah build --isolation chroot --network host --pull-never --layers --format docker "${binds[@]}" \
    --build-arg DEBIAN="$BASE" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --file docker/Dockerfile --tag "$IMAGE" .
}

# check_files ROOT: what the image holds, and what it must not.
check_files() {
  local root=$1 tool found owners wanted
  say "no compiler, no setuid programs, nothing that the user may change"
  for tool in $TOOLCHAIN; do
    found=$(chroot "$root" /bin/sh -c "command -v $tool" || true)
    [[ -z $found ]] || die "the image holds $found"
  done
  found=$(find "$root" -xdev \( -name cc1 -o -name cc1plus -o -name '*.h' -path '*/include/*' \) -print -quit)
  [[ -z $found ]] || die "the image holds $found"
  found=$(find "$root" -xdev -type f -perm /6000 -print -quit)
  [[ -z $found ]] || die "$found is setuid"
  found=$(find "$root" -xdev \( -uid 10001 -o -gid 10001 \) -print -quit)
  [[ -z $found ]] || die "$found belongs to the user that the server runs as"

  say "docker/apt-packages-runtime.txt names the packages whose libraries are loaded directly"
  owners=$(direct_owners "$root")
  wanted=$(grep -v '^ca-certificates$' docker/apt-packages-runtime.txt)
  diff <(echo "$wanted") <(echo "$owners") || die "the list (<) and what the programs load (>) differ"

  say "the bill of materials"
  scripts/check_sbom.py "$root" "$root/usr/share/sbom/ilf-server.cdx.json"
  sed 's/"name": "libgrpc29"/"name": "libgrpc30"/' "$root/usr/share/sbom/ilf-server.cdx.json" >"$WORK/wrong.json"
  refuses "a package that the bill leaves out" scripts/check_sbom.py "$root" "$WORK/wrong.json"
}

# direct_owners ROOT: Debian packages with the libraries that the files of /opt/ilf name.
direct_owners() {
  local root=$1 library
  find "$root/opt/ilf/bin" "$root/opt/ilf/lib" -type f -exec objdump -p {} + | awk '$1 == "NEEDED" {print $2}' |
    sort -u | while read -r library; do
    if [[ -e $root/opt/ilf/lib/torch/lib/$library ]]; then continue; fi
    chroot "$root" dpkg-query --search "*/$library" | sed 's/:.*//' | sort -u
  done | sort -u
}

# setting NAME: an entry of the image's configuration, lists with a NUL after each item.
setting() {
  buildah inspect --type image "$IMAGE" | python3 -c '
import json, sys
value = json.load(sys.stdin)["Docker"]["config"]
for name in sys.argv[1].split("."):
    value = value[name]
print(*(f"{item}\0" for item in value) if isinstance(value, list) else [value], sep="", end="")
' "$1"
}

# Runs the image in new namespaces of mounts, processes and network.
check_run() {
  local root=$1
  {
    setting User
    echo
    setting StopSignal
    echo
  } >"$WORK/user"
  setting Env >"$WORK/env"
  { setting Entrypoint && setting Cmd; } >"$WORK/command"
  setting Healthcheck.Test >"$WORK/healthcheck"
  unshare --mount --net --pid --fork --kill-child --mount-proc "$ILF_SCRIPT" --inside "$root" "$WORK"
}

# inside_image COMMAND...: replaces this process by the command, as the image's user with no rights at all.
inside_image() {
  exec chroot "$ROOT" /usr/bin/env -i "${ENVIRONMENT[@]}" \
    setpriv --reuid="${IMAGE_USER%:*}" --regid="${IMAGE_USER#*:}" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all -- "$@"
}

# The part of check_run that runs in the namespaces.
run_inside() {
  ROOT=$1
  local work=$2 command healthcheck stop_signal server tries device status
  {
    read -r IMAGE_USER
    read -r stop_signal
  } <"$work/user"
  mapfile -d '' ENVIRONMENT <"$work/env"
  mapfile -d '' command <"$work/command"
  mapfile -d '' healthcheck <"$work/healthcheck"

  ip link set lo up
  mount --bind "$ROOT" "$ROOT"
  mount -t proc proc "$ROOT/proc"
  mount -t tmpfs -o mode=755 dev "$ROOT/dev"
  for device in null zero full random urandom; do cp --archive "/dev/$device" "$ROOT/dev/"; done
  mount -o remount,ro,bind "$ROOT/dev"
  mount -o remount,ro,bind "$ROOT"
  if touch "$ROOT/tmp/file" 2>/dev/null; then die "the image's root can be written"; fi

  [[ ${healthcheck[0]} == CMD ]] || die "the health check is no CMD"
  if (inside_image "${healthcheck[@]:1}") >/dev/null 2>&1; then die "healthy without a server"; fi
  say "starting as $IMAGE_USER with every file read-only: ${command[*]}"
  (inside_image "${command[@]}") >"$work/server.log" 2>&1 &
  server=$!
  for ((tries = 0; ; ++tries)); do
    if (inside_image "${healthcheck[@]:1}" 2>/dev/null); then break; fi
    if ((tries == 60)) || ! kill -0 "$server"; then die "it does not get healthy: $(cat "$work/server.log")"; fi
    sleep 1
  done
  status=$(</proc/"$server"/status)
  grep -q $'^Uid:\t10001\t10001\t10001\t10001$' <<<"$status" || die "it runs as another user: $status"
  grep -q $'^CapBnd:\t0*$' <<<"$status" || die "it has capabilities: $status"
  [[ $(readlink "/proc/$server/exe") == "$ROOT/opt/ilf/bin/ilf-server" ]] || die "another program runs"

  say "one picture over gRPC"
  (inside_image ilf-client generate --label Dress --steps 5 --seed 7 --out -) >"$work/dress.png"
  [[ $(head -c 8 "$work/dress.png" | od -An -tx1) == ' 89 50 4e 47 0d 0a 1a 0a' ]] || die "that is no PNG"
  python3 - <<'EOF'
import urllib.request
text = urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5).read().decode()
if 'ilf_images_total{model="fashion-dit"} 1\n' not in text:
    raise SystemExit("error: the metrics do not count the picture")
EOF

  say "stopping with $stop_signal"
  kill -s "${stop_signal#SIG}" "$server"
  wait "$server" || die "it did not stop cleanly: $(cat "$work/server.log")"
}

# What each part weighs, in MB.
print_sizes() {
  local root=$1 base
  base=$(buildah from "$BASE")
  say "size in MB (10^6 bytes)"
  printf '  %-46s %6s\n' "all files" "$(megabytes "$root")" \
    "of these Debian 12 as debootstrap makes it" "$(megabytes "$(buildah mount "$base")")" \
    "/opt/ilf/lib (LibTorch)" "$(megabytes "$root/opt/ilf/lib")" \
    "/opt/ilf/bin" "$(megabytes "$root/opt/ilf/bin")" \
    "/models" "$(megabytes "$root/models")" \
    "one layer of all files, gzip" "$(tar -C "$root" --one-file-system -c . | gzip | wc -c |
      awk '{printf "%.0f", $1 / 1e6}')"
  buildah rm "$base" >/dev/null
}

megabytes() { du -s --one-file-system --apparent-size --block-size=1 "$1" | awk '{printf "%.0f", $1 / 1e6}'; }

check_image() {
  local container root
  ((EUID == 0)) || die "building needs root (--lint does not)"
  mkdir -p "$WORK"
  make_base
  build_image
  container=$(buildah from --pull-never "$IMAGE")
  root=$(buildah mount "$container")
  check_files "$root"
  check_run "$root"
  print_sizes "$root"
  buildah rm "$container" >/dev/null
}

main() {
  local lint=false
  while (($#)); do
    case $1 in
      --lint) lint=true ;;
      --bind)
        BINDS+=("${2:?--bind needs HOST:IMAGE[:ro]}")
        shift
        ;;
      --work)
        WORK=${2:?--work needs a folder}
        shift
        ;;
      --inside) # Not for users: check_run calls this.
        run_inside "$2" "$3"
        exit
        ;;
      -h | --help)
        show_help
        exit
        ;;
      *) die "unknown argument $1 (see --help)" ;;
    esac
    shift
  done
  install_tools
  check_lint
  if $lint; then exit; fi
  check_image
  say "the image is fine"
}

main "$@"
