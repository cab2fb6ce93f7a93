"""The kustomizations render the objects that the chart renders with the same settings."""
import difflib
import re

import pytest
import yaml
from rendering import CHART, CLAIM, KUSTOMIZE, OVERLAYS, OWN_MODELS, find, pod_of, server_of

GPU = [CLAIM, f"--values={CHART}/values-gpu.yaml"]
DOWNLOAD = [f"--set=models.download.files[0].{key}={value}" for key, value in (
    ("path", "fashion-dit/model_index.json"), ("url", "https://example.com/m"), ("sha256", "0" * 64))]
ROUTE = ["--set=grpcRoute.enabled=true,grpcRoute.parentRefs[0].name=gateway"]

# Overlay, components, what else the kustomization says -> flags of the chart.
SAME = {
    "cpu": ("cpu", [], {}, [CLAIM]),
    "gpu": ("gpu", [], {}, GPU),
    "tls": ("cpu", ["tls"], {}, [CLAIM, "--set=tls.secretName=ilf-tls"]),
    "download": ("gpu", ["download"], OWN_MODELS, [f"--values={CHART}/values-gpu.yaml", *DOWNLOAD]),
    "pod-monitor": ("cpu", ["pod-monitor"], {}, [CLAIM, "--set=monitor.kind=PodMonitor"]),
    "service-monitor": ("cpu", ["service-monitor"], {}, [CLAIM, "--set=monitor.kind=ServiceMonitor"]),
    "keda": ("gpu", ["keda"], {}, [*GPU, "--set=autoscaling.kind=keda"]),
    "hpa": ("cpu", ["hpa"], {}, [CLAIM, "--set=autoscaling.kind=hpa"]),
    "grpc-route": ("cpu", ["grpc-route"], {}, [CLAIM, *ROUTE]),
    "most of it": ("gpu", ["tls", "pod-monitor", "keda"], {}, [
        *GPU, "--set=tls.secretName=ilf-tls,monitor.kind=PodMonitor,autoscaling.kind=keda"]),
}


def normalized(objects: list[dict]) -> list[str]:
    """Lines of the objects without what Helm and kustomize add of their own: Helm's labels, its hooks and its
    checksum of the configuration, for which kustomize has a hash in the ConfigMap's name."""
    objects = [thing for thing in objects if "helm.sh/hook" not in thing["metadata"].get("annotations", {})]
    for thing in objects:
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            thing["metadata"]["labels"].pop(label, None)
        if thing["kind"] == "Deployment":
            annotations = thing["spec"]["template"]["metadata"].get("annotations", {})
            annotations.pop("checksum/config", None)
            if not annotations:
                thing["spec"]["template"]["metadata"].pop("annotations", None)
    text = [yaml.safe_dump(thing) for thing in objects]
    text = [re.sub(r"\bname: ilf-server-[a-z0-9]{10}\n", "name: ilf-server\n", one) for one in text]
    return "---\n".join(sorted(text)).splitlines()


def difference(kustomize: list[dict], chart: list[dict]) -> str:
    return "\n".join(difflib.unified_diff(normalized(kustomize), normalized(chart), "kustomize", "chart", lineterm=""))


@pytest.mark.parametrize("what", SAME)
def test_same_objects(tools, what):
    overlay, components, more, flags = SAME[what]
    ours = tools.kustomize(overlay, components, **more)
    assert not (lines := difference(ours, tools.chart(*flags, release="ilf-server"))), lines


def test_difference_is_seen(tools):
    chart = [CLAIM, "--set=logLevel=debug"]
    assert 'log_level: "debug"' in difference(tools.kustomize("cpu"), tools.chart(*chart, release="ilf-server"))
    assert "PodDisruptionBudget" in difference(
        tools.kustomize("cpu"), tools.chart(CLAIM, "--set=podDisruptionBudget.enabled=false", release="ilf-server"))


def test_changed_configuration_rolls_the_pods(tools):
    def mounted(**more):
        objects = tools.kustomize("cpu", **more)
        (volume,) = (v for v in pod_of(objects)["spec"]["volumes"] if v["name"] == "config")
        assert volume["configMap"]["name"] == find(objects, "ConfigMap")["metadata"]["name"]
        return volume["configMap"]["name"]

    change = {"name": "ilf-server", "behavior": "merge", "literals": ['ilf.textproto=model_root: "/models"']}
    assert mounted() != mounted(configMapGenerator=[change])


def test_own_name_and_tag_of_the_image(tools):
    image = {"name": "ilf-server", "newName": "registry.example.com/ilf-server", "newTag": "1.2.3"}
    assert server_of(tools.kustomize("gpu", images=[image]))["image"] == "registry.example.com/ilf-server:1.2.3"


def test_every_component_is_compared_and_checked():
    there = {path.name for path in (KUSTOMIZE / "components").iterdir()}
    assert there == {name for _, components, _, _ in SAME.values() for name in components}
    assert there == {name for _, components in OVERLAYS.values() for name in components}
