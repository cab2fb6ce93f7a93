"""What deploy/ tells ilf-server and ilf-client is what they understand: flags, configuration, ports, the names of
health services and metrics. Starts the real server on the models that ship."""
import json
import pathlib
import re
import subprocess
import urllib.request

import grpc
import pytest
from rendering import CLAIM, RENDERINGS, ROOT, VALUES, config_of, find, pod_of, server_of
from serving import Server, make_certificates

LISTENS = {"grpc": "address", "health": "health_address", "metrics": "metrics_address"}


EACH = pytest.mark.parametrize("which", RENDERINGS)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> pathlib.Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def server(tools, binaries, certificates, tmp_path_factory):
    """The server as the chart starts it with mutual TLS, on other ports, after it made a picture."""
    objects = tools.chart(CLAIM, "--set=tls.secretName=s,tls.clientCa=true,threadsPerWorker=1")
    arguments = on_this_machine(objects, tmp_path_factory.mktemp("config"), certificates)
    with Server(binaries, arguments) as running:
        running.wait_until_ready()
        subprocess.run([binaries / "ilf-client", "generate", "--label=Dress", "--steps=2",
                        f"--out={tmp_path_factory.mktemp('out')}/dress.png", *running.client_flags(certificates)],
                       check=True)
        yield running


def on_this_machine(objects: list[dict], folder: pathlib.Path, certificates: pathlib.Path) -> list[str]:
    """The arguments of the server's container, its files written to the folder."""
    config = config_of(objects)
    assert '"/models"' in config
    (folder / "ilf.textproto").write_text(config.replace('"/models"', json.dumps(str(ROOT / "models"))))
    mounted = {mount["mountPath"] for mount in server_of(objects)["volumeMounts"]}
    arguments = []
    for argument in server_of(objects)["args"]:
        for path, here in (("/config", folder), ("/tls", certificates)):
            if f"={path}/" in argument:
                assert path in mounted, f"{argument} names what is not mounted"
                argument = argument.replace(path, str(here), 1)
        arguments.append(argument)
    return arguments


def long_flags(*command) -> set[str]:
    text = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +(?:-\w,)?(--\w+)", text, re.MULTILINE))


def named(arguments: list[str]) -> set[str]:
    return {argument.split("=")[0] for argument in arguments if argument.startswith("--")}


@EACH
def test_server_has_every_flag(tools, binaries, which):
    unknown = named(server_of(tools.render(which))["args"]) - long_flags(binaries / "ilf-server")
    assert not unknown


def test_client_has_every_flag_of_the_test_pod(tools, binaries):
    for container in find(tools.chart(*VALUES["everything"]), "Pod")["spec"]["containers"]:
        command, *arguments = container["args"]
        assert not named(arguments) - long_flags(binaries / "ilf-client", command)


@EACH
def test_server_takes_the_configuration(tools, binaries, certificates, tmp_path, which):
    arguments = on_this_machine(tools.render(which), tmp_path, certificates)
    checked = subprocess.run([binaries / "ilf-server", *arguments, "--check_config"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_wrong_configuration_would_be_seen(tools, binaries, certificates, tmp_path):
    objects = tools.chart(CLAIM, "--set=extraConfig=max_rows: 3")
    arguments = on_this_machine(objects, tmp_path, certificates)
    checked = subprocess.run([binaries / "ilf-server", *arguments, "--check_config"], capture_output=True, text=True)
    assert checked.returncode == 2
    assert "max_rows" in checked.stderr


@EACH
def test_ports_are_those_the_server_listens_on(tools, which):
    objects = tools.render(which)
    listens = dict(re.findall(r'^(\w*address): "0\.0\.0\.0:(\d+)"$', config_of(objects), re.MULTILINE))
    container = server_of(objects)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {name: int(listens[field]) for name, field in LISTENS.items()}
    for probe in ("startup", "readiness", "liveness"):
        assert container[f"{probe}Probe"]["grpc"]["port"] == ports["health"]

    services = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "Service"}
    for spec in services.values():
        assert {port["name"]: port["targetPort"] for port in spec["ports"]}.items() <= dict.fromkeys(ports).items() | {
            (name, name) for name in ports}
        if spec.get("clusterIP") == "None":  # no port is translated there
            assert all(ports[port["targetPort"]] == port["port"] for port in spec["ports"])
    for thing in objects:
        if thing["kind"] == "NetworkPolicy":
            assert {port["port"] for rule in thing["spec"]["ingress"] for port in rule["ports"]} <= ports.keys()
        if thing["kind"] in ("ServiceMonitor", "PodMonitor"):
            (endpoint,) = thing["spec"].get("endpoints") or thing["spec"]["podMetricsEndpoints"]
            assert endpoint["port"] == "metrics"
        if thing["kind"] == "GRPCRoute":
            (backend,) = thing["spec"]["rules"][0]["backendRefs"]
            assert backend["port"] in [port["port"] for port in services[backend["name"]]["ports"]]


def health(address: str, service: str) -> bytes:
    """What a plaintext gRPC probe gets: the bytes of a HealthCheckResponse."""
    with grpc.insecure_channel(address) as channel:
        name = service.encode()
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"\n" + bytes([len(name)]) + name, timeout=5)


@EACH
def test_probes_are_answered(tools, server, which):
    container = server_of(tools.render(which))
    for probe in ("startup", "readiness", "liveness"):
        assert health(server.ports["health_address"], container[f"{probe}Probe"]["grpc"]["service"]) == b"\x08\x01"


def test_probe_of_an_unknown_service_would_be_seen(server):
    with pytest.raises(grpc.RpcError) as raised:
        health(server.ports["health_address"], "ready")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_route_names_the_service_that_the_server_has(tools, server):
    for which in ("everything", "components"):
        (match,) = find(tools.render(which), "GRPCRoute")["spec"]["rules"][0]["matches"]
        assert health(server.ports["health_address"], match["method"]["service"]) == b"\x08\x01"


def test_test_pod_finds_the_server_well(tools, server, binaries, certificates):
    objects = tools.chart(CLAIM, "--set=tls.secretName=s,tls.clientCa=true,tests.tlsSecretName=c")
    for container in find(objects, "Pod")["spec"]["containers"]:
        arguments = [re.sub(r"^--address=.*", f"--address={server.ports['address']}", argument).replace(
            "/tls/", f"{certificates}/") for argument in container["args"]]
        subprocess.run([binaries / container["command"][0], *arguments], check=True)
        without = [argument for argument in arguments if not argument.startswith("--tls_cert")]
        without = [argument for argument in without if not argument.startswith("--tls_key")]
        assert subprocess.run([binaries / container["command"][0], *without, "--timeout=2s"]).returncode != 0


def shown(server: Server, path: str) -> str:
    with urllib.request.urlopen(f"http://{server.ports['metrics_address']}{path}", timeout=5) as answer:
        return answer.read().decode()


def test_every_metric_that_is_named_is_shown(tools, server):
    metrics = set(re.findall(r"^(\w+)", shown(server, "/metrics"), re.MULTILINE))
    texts = {which: json.dumps(tools.render(which)) for which in RENDERINGS}
    texts |= {str(path.relative_to(ROOT)): path.read_text() for path in
              [*(ROOT / "deploy").rglob("*.md"), ROOT / "docs/deployment.md"]}
    used = {name for text in texts.values() for name in re.findall(r"\b(?:ilf|grpc_server)_[a-z]\w+\b", text)}
    assert {"ilf_queue_wait_seconds_bucket", "ilf_queued_images"} <= used
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics}
    assert not used - metrics - bases


def test_monitors_scrape_where_the_metrics_are(tools, server):
    for which, kind in (("everything", "PodMonitor"), ("gpu", "ServiceMonitor"), ("components", "PodMonitor"),
                        ("other-components", "ServiceMonitor")):
        spec = find(tools.render(which), kind)["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert "ilf_serving 1" in shown(server, endpoint["path"])


def test_stop_leaves_time_before_the_kill(tools, binaries, certificates, tmp_path):
    """An idle server is gone at once; the drain is for what runs."""
    objects = tools.chart(CLAIM, "--set=threadsPerWorker=1")
    with Server(binaries, on_this_machine(objects, tmp_path, certificates)) as running:
        running.wait_until_ready()
        grace = pod_of(objects)["spec"]["terminationGracePeriodSeconds"]
        assert running.stop(timeout=grace) == 0
