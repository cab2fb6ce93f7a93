"""What the chart makes of its values, and what it refuses."""
import json
import re

import pytest
import yaml
from rendering import CHART, CLAIM, RENDERINGS, VALUES, Refused, config_of, containers, find, pod_of, pods, server_of

EVERYTHING = VALUES["everything"]
GPU = VALUES["gpu"]


def test_pod_gets_the_time_to_leave_that_its_stop_takes(tools):
    for sleep, drain in ((10, 60), (1, 0), (600, 3600)):
        objects = tools.chart(CLAIM, f"--set=preStopSleepSeconds={sleep},drainTimeoutSeconds={drain}")
        assert server_of(objects)["lifecycle"] == {"preStop": {"sleep": {"seconds": sleep}}}
        assert f"drain_timeout {{ seconds: {drain} }}" in config_of(objects)
        assert pod_of(objects)["spec"]["terminationGracePeriodSeconds"] == sleep + drain + 5


def test_startup_probe_lasts_as_long_as_loading_may(tools):
    objects = tools.chart(CLAIM, "--set=startupTimeoutSeconds=903")
    probe = server_of(objects)["startupProbe"]
    assert 903 <= probe["periodSeconds"] * probe["failureThreshold"] < 908
    assert find(objects, "Deployment")["spec"]["progressDeadlineSeconds"] > 908


def test_gpu_is_asked_for_tolerated_and_used(tools):
    objects = tools.chart(*GPU)
    server, pod = server_of(objects), pod_of(objects)["spec"]
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert server["image"] == f"{server_of(tools.chart(CLAIM))['image']}-cuda"
    assert "--device=cuda:0" in server["args"]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["runtimeClassName"] == "nvidia"
    assert find(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


def test_every_device_is_a_worker(tools):
    assert "--device=cpu,cpu" in server_of(tools.chart(CLAIM, "--set=devices={cpu,cpu}"))["args"]


def test_without_tls_nothing_of_it_is_mounted(tools):
    objects = tools.chart(CLAIM)
    assert "tls" not in str(objects)
    assert find(objects, "Service", "pictures-ilf-server")["spec"]["ports"][0]["appProtocol"] == "kubernetes.io/h2c"


def test_tls_takes_the_secret(tools):
    objects = tools.chart(CLAIM, "--set=tls.secretName=s")
    server, pod = server_of(objects), pod_of(objects)["spec"]
    mount = {"name": "tls", "mountPath": "/tls", "readOnly": True}  # no subPath: that is never renewed
    assert mount in server["volumeMounts"]
    assert {"name": "tls", "secret": {"secretName": "s", "defaultMode": 0o440}} in pod["volumes"]
    assert {"--tls_cert=/tls/tls.crt", "--tls_key=/tls/tls.key"} <= set(server["args"])
    assert "--tls_client_ca=/tls/ca.crt" not in server["args"]
    assert "appProtocol" not in find(objects, "Service", "pictures-ilf-server")["spec"]["ports"][0]
    assert "--tls_client_ca=/tls/ca.crt" in server_of(
        tools.chart(CLAIM, "--set=tls.secretName=s,tls.clientCa=true"))["args"]


def test_probes_are_plain_text_with_tls_too(tools):
    server = server_of(tools.chart(*EVERYTHING))
    (health,) = (port for port in server["ports"] if port["name"] == "health")
    services = {name: server[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
    assert services == {"startup": {"port": health["containerPort"], "service": "readiness"},
                        "readiness": {"port": health["containerPort"], "service": "readiness"},
                        "liveness": {"port": health["containerPort"], "service": "liveness"}}


def checksum(objects):
    return pod_of(objects)["metadata"]["annotations"]["checksum/config"]


def test_changed_configuration_rolls_the_pods(tools):
    first = checksum(tools.chart(CLAIM))
    assert first == checksum(tools.chart(CLAIM, "--set=replicaCount=5"))
    for change in ("logLevel=debug", "drainTimeoutSeconds=61", "extraConfig=batching { max_batch_rows: 8 }"):
        assert first != checksum(tools.chart(CLAIM, f"--set={change}"))


def test_network_policy_opens_no_more_than_it_says(tools):
    policy = find(tools.chart(CLAIM), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "grpc"}], "from": [{"podSelector": {}}]}]
    assert policy["egress"] == []

    policy = find(tools.chart(*EVERYTHING), "NetworkPolicy")["spec"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": "grpc"}], [{"port": "metrics"}]]
    assert sorted(port["port"] for port in policy["egress"][0]["ports"]) == [53, 53, 443]


def test_test_pod_may_call_where_others_may_not_and_is_none_of_the_servers(tools):
    objects = tools.chart(*VALUES["tls"])
    labels = find(objects, "Pod")["metadata"]["labels"]
    assert {"podSelector": {"matchLabels": labels}} in find(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    for service in (thing for thing in objects if thing["kind"] == "Service"):
        assert not service["spec"]["selector"].items() <= labels.items()


def test_test_pod_asks_the_service_with_the_image_of_the_server(tools):
    objects = tools.chart(*EVERYTHING)
    service = find(objects, "Service", "pictures-ilf-server")
    pod = find(objects, "Pod")["spec"]
    assert [container["args"][0] for container in pod["containers"]] == ["health", "models"]
    for container in pod["containers"]:
        assert container["image"] == server_of(objects)["image"]
        assert container["command"] == ["ilf-client"]
        assert f"--address={service['metadata']['name']}.default.svc:50051" in container["args"]
        assert "--tls_key=/tls/tls.key" in container["args"]
    assert pod["volumes"][0]["secret"]["secretName"] == "ilf-client-tls"


def test_test_pod_sees_no_private_key_that_it_does_not_need(tools):
    pod = find(tools.chart(*VALUES["tls"]), "Pod")["spec"]
    assert pod["volumes"][0]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


def test_no_test_pod_where_mutual_tls_would_turn_it_away(tools):
    objects = tools.chart(CLAIM, "--set=tls.secretName=s,tls.clientCa=true")
    assert not [thing for thing in objects if thing["kind"] == "Pod"]


def test_service_account_has_no_token_and_nobody_gives_it_rights(tools):
    objects = tools.chart(*EVERYTHING)
    assert find(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod_of(objects)["spec"]["serviceAccountName"] == find(objects, "ServiceAccount")["metadata"]["name"]
    assert not [thing["kind"] for thing in objects if "Role" in thing["kind"]]
    assert all(pod["automountServiceAccountToken"] is False for pod in pods(objects))


def not_restricted(pod: dict) -> list[str]:
    """What the restricted profile of the Pod Security Standards has against the pod."""
    wrong = []
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        wrong.append("may run as root")
    if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        wrong.append("has no seccomp profile")
    wrong += [f"has {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral",
                                            "persistentVolumeClaim", "projected", "secret"}:
            wrong.append(f"mounts {volume}")
    for container in containers(pod):
        own, name = container.get("securityContext", {}), container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            wrong.append(f"{name} may gain privileges")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            wrong.append(f"{name} has capabilities")
        if own.get("privileged") or own.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile", "procMount"}:
            wrong.append(f"{name} goes its own way")
        if any("hostPort" in port for port in container.get("ports", [])):
            wrong.append(f"{name} has a port of the node")
    return wrong


@pytest.mark.parametrize("which", RENDERINGS)
def test_pods_fit_the_restricted_profile_and_write_nothing_but_tmp(tools, which):
    objects = tools.render(which)
    for pod in pods(objects):
        assert not not_restricted(pod)
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in containers(pod))
    writable = [mount["mountPath"] for mount in server_of(objects)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda pod: pod["securityContext"].pop("seccompProfile"), "seccomp"),
    (lambda pod: pod["securityContext"].update(runAsUser=0), "root"),
    (lambda pod: pod["containers"][0]["securityContext"].update(capabilities={"add": ["NET_ADMIN"]}), "capabilities"),
    (lambda pod: pod["containers"][0].pop("securityContext"), "privileges"),
    (lambda pod: pod["volumes"].append({"name": "h", "hostPath": {"path": "/"}}), "mounts"),
])
def test_restricted_profile_is_really_asked_for(tools, break_it, message):
    pod = pod_of(tools.chart(CLAIM))["spec"]
    break_it(pod)
    assert re.search(message, " ".join(not_restricted(pod)))


@pytest.mark.parametrize("which", RENDERINGS)
def test_selectors_find_the_pods(tools, which):
    objects = tools.render(which)
    labels = pod_of(objects)["metadata"]["labels"].items()
    selectors = [thing["spec"].get("selector") or thing["spec"].get("podSelector")
                 for thing in objects if thing["kind"] not in ("Pod", "GRPCRoute") and "spec" in thing]
    selectors += [spread["labelSelector"] for spread in pod_of(objects)["spec"].get("topologySpreadConstraints", [])]
    for selector in filter(None, selectors):
        assert selector.get("matchLabels", selector).items() <= labels


def test_scaling_leaves_the_number_of_pods_alone(tools):
    for kind, scaler in (("keda", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")):
        objects = tools.chart(CLAIM, f"--set=autoscaling.kind={kind}")
        assert "replicas" not in find(objects, "Deployment")["spec"]
        target = find(objects, scaler)["spec"]["scaleTargetRef"]
        assert target["name"] == find(objects, "Deployment")["metadata"]["name"]
    assert find(tools.chart(CLAIM), "Deployment")["spec"]["replicas"] == 2


def test_pods_that_have_work_are_kept_though_nobody_waits(tools):
    wait, images = find(tools.chart(CLAIM, "--set=autoscaling.kind=keda,autoscaling.keda.imagesPerPod=24"),
                        "ScaledObject")["spec"]["triggers"]
    assert "ilf_queue_wait_seconds_bucket" in wait["metadata"]["query"]
    assert re.findall(r"ilf_\w+", images["metadata"]["query"]) == ["ilf_active_images", "ilf_queued_images"]
    assert (images["metricType"], images["metadata"]["threshold"]) == ("AverageValue", "24")


def test_connections_have_an_age_only_where_it_is_set(tools):
    assert "max_connection_age" not in config_of(tools.chart(CLAIM))
    assert "max_connection_age { seconds: 600 }" in config_of(
        tools.chart(CLAIM, "--set=maxConnectionAgeSeconds=600"))


def test_headless_service_gives_every_pod_an_address(tools):
    headless = find(tools.chart(CLAIM), "Service", "-headless")["spec"]
    assert headless["clusterIP"] == "None"
    assert not headless.get("publishNotReadyAddresses")


def test_gateway_speaks_tls_to_pods_that_want_it(tools):
    objects = tools.chart(*EVERYTHING)
    backend = find(objects, "GRPCRoute")["spec"]["rules"][0]["backendRefs"][0]
    (target,) = find(objects, "BackendTLSPolicy")["spec"]["targetRefs"]
    service = find(objects, "Service", "pictures-ilf-server")
    assert backend["name"] == target["name"] == service["metadata"]["name"]
    assert target["sectionName"] in [port["name"] for port in service["spec"]["ports"]
                                     if port["port"] == backend["port"]]


FILE = "models.download.files[0]"
REFUSED = {
    "no models at all": ([], "must say where the models are"),
    "a claim and downloads": ([*EVERYTHING, CLAIM], "exclude each other"),
    "an unknown value": ([CLAIM, "--set=replicas=3"], "replicas"),
    "a device that is none": ([CLAIM, "--set=devices={gpu}"], "devices"),
    "a GPU that nobody asks for": ([CLAIM, "--set=devices={cuda:0}"], "asks for no GPU"),
    "a drain of two hours": ([CLAIM, "--set=drainTimeoutSeconds=7200"], "drainTimeoutSeconds"),
    "a stop without a sleep": ([CLAIM, "--set=preStopSleepSeconds=0"], "preStopSleepSeconds"),
    "a digest that is none": ([CLAIM, "--set=image.digest=latest"], "digest"),
    "a download without its checksum": (
        [f"--set={FILE}.path=a/b,{FILE}.url=https://x/y"], "sha256"),
    "a download that leaves its folder": (
        [f"--set={FILE}.path=../b/c,{FILE}.url=https://x/y,{FILE}.sha256=" + "0" * 64], "path"),
    "a rollout that replaces nothing": (
        [CLAIM, "--set=rollout.maxSurge=0%"], "no pod could ever be replaced"),
    "more pods at least than at most": (
        [CLAIM, "--set=autoscaling.kind=hpa,autoscaling.minReplicas=9"], "minReplicas is larger"),
    "a route without a gateway": ([CLAIM, "--set=grpcRoute.enabled=true"], "must name a gateway"),
    "a route to TLS without trust": (
        [*VALUES["tls"], "--set=grpcRoute.enabled=true,grpcRoute.parentRefs[0].name=g"], "whom the gateway trusts"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(tools, what):
    flags, message = REFUSED[what]
    with pytest.raises(Refused, match=message):
        tools.chart(*flags)


def leaves(value, path=()):
    if isinstance(value, dict) and value and path != ("resources",):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield ".".join(path)


def test_readme_has_a_row_for_every_value():
    rows = [line.split("|")[1] for line in (CHART / "README.md").read_text().splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    assert sorted(named) == sorted(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def test_schema_knows_every_value_and_no_other():
    def properties(schema, path=()):
        if inner := schema.get("properties"):
            assert schema["additionalProperties"] is False
            for key, value in inner.items():
                yield from properties(value, (*path, key))
        else:
            yield ".".join(path)

    schema = json.loads((CHART / "values.schema.json").read_text())
    # Helm adds `global`.
    assert set(properties(schema)) - {"global"} == set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
