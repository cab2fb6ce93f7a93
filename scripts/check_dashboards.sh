#!/usr/bin/env bash
# Proves the dashboards and rules of dashboards/: a real Prometheus scrapes two real ilf-servers under load, and
# every query of every panel must bring a series. Also checks the files against their source and Grafana's
# schema, runs promtool's checks and unit tests of the rules, and shows that a misspelt metric is found.
#
#   scripts/check_dashboards.sh [--bin DIR] [--rounds N] [--images]
#
#   --bin DIR    where ilf-server and ilf-client are (default: build/release/bin)
#   --rounds N   rounds of injected errors, about half a minute each on one core; 2 at least (default: 4)
#   --images     also draws the panels into docs/images/dashboard-*.png
#
# Needs python3 and openssl, and apt-get where Prometheus is not installed. The tools go to $DASHBOARD_TOOLS
# (default: .deps/dashboards): Debian's package prometheus (scripts/apt-packages-dashboards.txt), unpacked, so
# that no service starts, and the Python packages of scripts/requirements-dashboards.txt. Everything listens on
# free ports of 127.0.0.1, or on $DASHBOARD_PORT and the four after it. Logs and series go to out/dashboards.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly TOOLS=${DASHBOARD_TOOLS:-.deps/dashboards}
readonly PYTHON=$TOOLS/venv/bin/python
readonly PACKAGES=scripts/apt-packages-dashboards.txt
readonly REQUIREMENTS=scripts/requirements-dashboards.txt
readonly OUT=out/dashboards
readonly PORT=${DASHBOARD_PORT:-0}
processes=()

install_tools() {
  mkdir -p "$TOOLS"
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    PROMETHEUS=prometheus PROMTOOL=promtool
  else
    PROMETHEUS=$TOOLS/prometheus/usr/bin/prometheus PROMTOOL=$TOOLS/prometheus/usr/bin/promtool
    if [[ ! -x $PROMTOOL ]]; then
      say "unpacking Debian's $(tr '\n' ' ' <"$PACKAGES")into $TOOLS"
      # apt's own user cannot write here, which it warns about.
      (cd "$TOOLS" && xargs apt-get download -q <"$ILF_ROOT/$PACKAGES" 2>/dev/null) ||
        die "apt-get download failed: run apt-get update first, or install $(tr '\n' ' ' <"$PACKAGES")"
      dpkg-deb --extract "$TOOLS"/prometheus_*.deb "$TOOLS/prometheus"
    fi
  fi
  if ! cmp --silent "$REQUIREMENTS" "$TOOLS/installed"; then
    say "installing into $TOOLS/venv: $(tr '\n' ' ' <"$REQUIREMENTS")"
    python3 -m venv "$TOOLS/venv"
    "$PYTHON" -m pip install --quiet --no-input --disable-pip-version-check -r "$REQUIREMENTS"
    cp "$REQUIREMENTS" "$TOOLS/installed"
  fi
}

stop_all() {
  local code=$? process
  trap - EXIT
  for process in "${processes[@]}"; do kill -TERM "$process" 2>/dev/null || true; done
  for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
  ((code == 0)) || say "logs are in $OUT" >&2
  exit "$code"
}

# port N: the Nth port of this run, or 0.
port() { echo $((PORT == 0 ? 0 : PORT + $1)); }

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A model as large as a step of it needs more memory than load_for_dashboards.py leaves.
make_models() {
  mkdir -p "$OUT/models"
  ln -s "$ILF_ROOT/models/fashion-dit" "$OUT/models/fashion-dit"
  cp -r models/fashion-dit "$OUT/models/oversized"
  rm -r "$OUT/models/oversized/feedback"
  sed -i 's/"sample_size": 8,/"sample_size": 512,/' "$OUT/models/oversized/transformer/config.json"
}

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$OUT/tls.key" -out "$OUT/tls.crt" 2>/dev/null
}

# start_server NAME FIRST_PORT MODELS DEVICES [FLAG...]: sets server to its process.
start_server() {
  local name=$1 first=$2 models=$3 devices=$4
  shift 4
  cat >"$OUT/$name.textproto" <<EOT
model_root: "$models"
address: "127.0.0.1:$(port "$first")"
metrics_address: "127.0.0.1:$(port $((first + 1)))"
threads_per_worker: 1
batching { max_queued_images: 24 max_active_images: 8 max_batch_rows: 32 finisher_threads: 4 }
streaming { write_stall_timeout { seconds: 1 } }
drain_timeout { seconds: 10 }
EOT
  "$BIN/ilf-server" --config "$OUT/$name.textproto" --port_file "$OUT/$name.ports" --device "$devices" "$@" \
    2>"$OUT/$name.log" &
  server=$!
  processes+=("$server")
}

# address NAME KEY: what the server's port file says.
address() { sed -n "s/^$2=//p" "$OUT/$1.ports"; }

# wait_for WHAT COMMAND...: until the command succeeds, for a minute at most.
wait_for() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || die "$what is not there after a minute"
    sleep 0.3
  done
}

# Labels as a ServiceMonitor's targets have them in Kubernetes.
start_prometheus() {
  local listen name
  listen=127.0.0.1:$(if ((PORT)); then port 4; else free_port; fi)
  {
    echo "global: {scrape_interval: 1s, evaluation_interval: 1s}"
    echo "rule_files: [$ILF_ROOT/dashboards/rules/*.yaml]"
    echo "scrape_configs: [{job_name: pictures-ilf-server, static_configs: ["
    for name in ilf-server-0 ilf-server-1; do
      echo "  {targets: [\"$(address "$name" metrics_address)\"]," \
        "labels: {namespace: pictures, pod: $name, service: pictures-ilf-server, container: ilf-server}},"
    done
    echo "]}]"
  } >"$OUT/prometheus.yml"
  "$PROMTOOL" check config "$OUT/prometheus.yml" >"$OUT/promtool.log" || die "see $OUT/promtool.log"
  "$PROMETHEUS" --config.file="$OUT/prometheus.yml" --storage.tsdb.path="$OUT/tsdb" \
    --web.listen-address="$listen" >"$OUT/prometheus.log" 2>&1 &
  processes+=("$!")
  url=http://$listen
  wait_for Prometheus python3 -c "import urllib.request; urllib.request.urlopen('$url/-/ready')"
}

check_files() {
  say "files, schema, rules"
  scripts/make_dashboards.py --check
  "$PYTHON" scripts/check_dashboard_schema.py dashboards/*.json
  "$PROMTOOL" check rules dashboards/rules/*.yaml
  "$PROMTOOL" test rules dashboards/rules/tests/*.yaml
}

# The check must be able to fail: one metric of one panel is misspelt in a copy.
check_the_check() {
  local wrong=$OUT/misspelt found
  mkdir -p "$wrong"
  cp dashboards/*.json "$wrong"
  sed -i 's/ilf_active_images/ilf_activ_images/' "$wrong/saturation.json"
  if found=$(query --dashboards "$wrong"); then die "a misspelt metric was not found"; fi
  grep -q "saturation: panel 'Active images', query A brings no series" <<<"$found" ||
    die "a misspelt metric was found, but not its panel: $found"
  (($(grep -c ': panel ' <<<"$found") == 1)) || die "one metric was misspelt, but this was found: $found"
}

query() { "$PYTHON" scripts/query_dashboards.py --prometheus "$url" --start "$start" --end "$end" "$@"; }

main() {
  local rounds=4 images=false server url start end
  BIN=build/release/bin
  while (($#)); do
    case $1 in
      --bin) BIN=${2:?--bin needs a folder} && shift ;;
      --rounds) rounds=${2:?--rounds needs a number} && shift ;;
      --images) images=true ;;
      -h | --help)
        show_help
        exit
        ;;
      *) die "unknown argument $1 (see --help)" ;;
    esac
    shift
  done
  [[ -x $BIN/ilf-server && -x $BIN/ilf-client ]] || die "$BIN has no ilf-server and ilf-client: run scripts/build.sh"
  install_tools
  check_files

  rm -rf "$OUT"
  mkdir -p "$OUT"
  make_models
  make_certificate
  trap stop_all EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  say "starting two servers and Prometheus"
  start_server ilf-server-0 0 "$ILF_ROOT/models" cpu,cpu
  start_server ilf-server-1 2 "$ILF_ROOT/$OUT/models" cpu --tls_cert "$OUT/tls.crt" --tls_key "$OUT/tls.key"
  wait_for "the first server" grep -q ' SERVING' "$OUT/ilf-server-0.log"
  wait_for "the second server" grep -q ' SERVING' "$OUT/ilf-server-1.log"
  start_prometheus

  say "load: $rounds rounds of about half a minute"
  start=$(date +%s)
  scripts/load_for_dashboards.py --client "$BIN/ilf-client" --first "$(address ilf-server-0 address)" \
    --first_metrics "$(address ilf-server-0 metrics_address)" \
    --second "$(address ilf-server-1 address)" --second_ca "$OUT/tls.crt" --second_pid "$server" --rounds "$rounds"
  sleep 3 # the last scrapes and evaluations
  end=$(date +%s)

  say "every query of every panel"
  query --out "$OUT/series.json" --firing IlfErrorBudgetBurnsFast IlfDeviceFailing
  check_the_check
  if $images; then "$PYTHON" scripts/plot_dashboards.py "$OUT/series.json"; fi
  say "the dashboards are fine"
}

main "$@"
