#!/usr/bin/env bash
# Installs, builds, starts ilf-server on the models in models/, and paints with ilf-client: a few classes of
# clothes, one of them with Inner Loop Feedback too, and emoji from text.
#
#   scripts/demo.sh [PROMPT...]     default: "red heart" and a few more
#
# The pictures land in out/demo/. The server listens on a free port of this machine only, and is stopped at the
# end, also after an error or Ctrl-C.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly OUT=out/demo
readonly BIN=build/release/bin
readonly LOG=$OUT/server.log
readonly PORTS=$OUT/server.ports
readonly PICTURES=4 # of each class and prompt
readonly LABELS=(Sneaker Dress Bag "Ankle boot")
server=

stop_server() {
  local code=$?
  trap - EXIT
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    say "stopping the server"
    wait "$server" || true
  fi
  if ((code != 0)) && [[ -s $LOG ]]; then
    say "the server's log ($LOG) ends with:"
    tail -n 30 "$LOG"
  fi >&2
  exit "$code"
}

# Waits until the server answers, and prints its address.
wait_for_server() {
  local address
  while kill -0 "$server" 2>/dev/null; do
    address=$(sed -n 's/^address=//p' "$PORTS" 2>/dev/null) || true
    if [[ -n $address ]] && "$BIN/ilf-client" models --address "$address" >/dev/null 2>&1; then
      echo "$address"
      return
    fi
    sleep 0.2
  done
  die "the server ended before it was ready"
}

# paint ADDRESS NAME [ARGUMENT...]: pictures in files that are named after NAME.
paint() {
  local address=$1 name
  name=$(tr '[:upper:]' '[:lower:]' <<<"$2" | tr -cs 'a-z0-9\n' '_')
  shift 2
  "$BIN/ilf-client" generate --address "$address" --seed 1 --count "$PICTURES" --out "$OUT/$name-{index}.png" "$@"
}

main() {
  if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    show_help
    exit
  fi
  local prompts=("$@") label prompt address
  (($#)) || prompts=("red heart" "grinning face" "flag: Sweden" "woman singer: medium skin tone")
  scripts/install.sh
  build_preset release ilf-server ilf-client

  mkdir -p "$OUT"
  rm -f "$PORTS" "$LOG"
  trap stop_server EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  say "starting ilf-server on models/"
  "$BIN/ilf-server" --model_root models --address 127.0.0.1:0 --metrics_address 127.0.0.1:0 \
    --port_file "$PORTS" 2>"$LOG" &
  server=$!
  address=$(wait_for_server)
  say "the server answers on $address"
  "$BIN/ilf-client" models --address "$address"

  for label in "${LABELS[@]}"; do
    say "$label"
    paint "$address" "$label" --label "$label" --preview_every 2
  done
  say "${LABELS[0]} from the same seeds with Inner Loop Feedback: fewer steps, some blocks run twice"
  paint "$address" "${LABELS[0]} feedback" --label "${LABELS[0]}" --acceleration feedback --steps 5
  for prompt in "${prompts[@]}"; do
    say "$prompt"
    paint "$address" "$prompt" "$prompt" --preview_every 4
  done

  say "the pictures are in $OUT/"
  cat <<EOF
To go on by yourself:
  $BIN/ilf-server --model_root models
  $BIN/ilf-client generate --label Coat --out coat.png
  $BIN/ilf-client generate "blue heart" --out heart.png
EOF
}

main "$@"
