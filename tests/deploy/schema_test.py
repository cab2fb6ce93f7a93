"""Everything that is rendered fits the schemas of Kubernetes and of the custom resources, and the policies of
deploy/policy.yaml."""
import json
import pathlib
import subprocess
import sys

import pytest
import yaml
from rendering import CHART, CLAIM, RENDERINGS, ROOT, VALUES, find, pod_of, server_of

# The oldest that Chart.yaml allows, and the newest that the tools know.
KUBERNETES = ["1.30", "1.37"]
CUSTOM = ["gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com"]
SCRIPTS = pathlib.Path(sys.executable).parent


def is_custom(thing: dict) -> bool:
    return thing["apiVersion"].split("/")[0] in CUSTOM


def validate(objects: list[dict], version: str, scratch: pathlib.Path) -> subprocess.CompletedProcess:
    file = scratch / "objects.yaml"
    file.write_text(yaml.safe_dump_all([thing for thing in objects if not is_custom(thing)]))
    return subprocess.run([SCRIPTS / "kubernetes-validate", "--strict", "--kubernetes-version", version, file],
                          capture_output=True, text=True)


def validate_custom(tools, objects: list[dict], scratch: pathlib.Path) -> subprocess.CompletedProcess:
    file = scratch / "objects.json"
    file.write_text(json.dumps(objects))
    return subprocess.run(["node", pathlib.Path(__file__).with_name("custom_schemas.mjs"), tools.folder, file],
                          capture_output=True, text=True)


def violations(objects: dict[str, list[dict]], scratch: pathlib.Path) -> list[str]:
    """What checkov has against them, beyond the exceptions of deploy/policy.yaml."""
    for name, some in objects.items():
        (scratch / f"{name}.yaml").write_text(yaml.safe_dump_all(some))
    done = subprocess.run([SCRIPTS / "checkov", "--config-file", ROOT / "deploy/policy.yaml", "--directory", scratch,
                           "--output", "json"], capture_output=True, text=True)
    result = json.loads(done.stdout)
    assert result["summary"]["passed"] > 50 * len(objects), "checkov has not read everything"
    assert result["summary"]["parsing_errors"] == 0
    return [f"{check['check_id']} {check['check_name']}: {check['file_path']} {check['resource']}"
            for check in result["results"]["failed_checks"]]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("which", RENDERINGS)
def test_fits_kubernetes(tools, tmp_path, which, version):
    done = validate(tools.render(which), version, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_unknown_field_would_be_seen(tools, tmp_path, version):
    objects = tools.chart(CLAIM)
    server_of(objects)["readinesProbe"] = server_of(objects).pop("readinessProbe")
    done = validate(objects, version, tmp_path)
    assert done.returncode != 0
    assert "readinesProbe" in done.stdout + done.stderr


@pytest.mark.parametrize("which", RENDERINGS)
def test_fits_the_custom_resources(tools, tmp_path, which):
    objects = tools.render(which)
    done = validate_custom(tools, objects, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": fits") == sum(map(is_custom, objects))


@pytest.mark.parametrize(("kind", "field", "to"), [
    ("GRPCRoute", "rules", [{"matchez": []}]), ("ScaledObject", "maxReplicaCount", "8"),
    ("PodMonitor", "endpoints", []), ("BackendTLSPolicy", "validation", {"hostname": "x", "caCertificateRef": []})])
def test_wrong_custom_resource_would_be_seen(tools, tmp_path, kind, field, to):
    objects = tools.chart(*VALUES["everything"])
    find(objects, kind)["spec"][field] = to
    done = validate_custom(tools, objects, tmp_path)
    assert done.returncode == 1
    assert kind in done.stderr


def test_fits_the_policies(tools, tmp_path):
    assert not violations({which: tools.render(which) for which in RENDERINGS}, tmp_path)


def test_breach_of_a_policy_would_be_seen(tools, tmp_path):
    objects = tools.chart(CLAIM)
    server_of(objects)["securityContext"]["privileged"] = True
    pod_of(objects)["spec"]["hostNetwork"] = True
    found = " ".join(violations({"broken": objects}, tmp_path))
    assert "privileged" in found
    assert "host network" in found


@pytest.mark.parametrize("which", VALUES)
def test_passes_helm_lint(tools, which):
    for version in KUBERNETES:
        done = subprocess.run([tools.folder / "layer/helm/helm", "lint", "--strict", "--kube-version", f"{version}.0",
                               CHART, *VALUES[which]], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
