"""What the README of the chart says about connections: without a word to the client one pod gets everything, with
round_robin all get the same. Two real servers stand for two pods behind the headless Service."""
import contextlib
import pathlib
import re
import time
import urllib.request

import grpc
import pytest
from rendering import CHART, ROOT
from serving import Server

CALLS = 20


@pytest.fixture(scope="module")
def pods(binaries):
    arguments = [f"--model_root={ROOT}/models", "--threads_per_worker=1"]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Server(binaries, arguments))
        port = first.ports["address"].rsplit(":", 1)[1]
        second = stack.enter_context(Server(binaries, arguments, address=f"127.0.0.2:{port}"))
        for pod in (first, second):
            pod.wait_until_ready()
        yield [first, second]


def calls_to(pod: Server) -> int:
    with urllib.request.urlopen(f"http://{pod.ports['metrics_address']}/metrics", timeout=5) as answer:
        (count,) = re.findall(r'^grpc_server_started_total\{.*"ListModels".*\} (\d+)', answer.read().decode(),
                              re.MULTILINE)
    return int(count)


def spread(pods: list[Server], options: list[tuple[str, str]]) -> list[int]:
    """How many of the calls over one channel each pod got."""
    before = [calls_to(pod) for pod in pods]
    with grpc.insecure_channel("ipv4:" + ",".join(pod.ports["address"] for pod in pods), options) as channel:
        call = channel.unary_unary("/ilf.v1.ImageGenerationService/ListModels")
        # Until both connections stand, round_robin knows only one of them.
        end = time.monotonic() + (10 if options else 0)
        call(b"", timeout=10, wait_for_ready=True)
        while any(calls_to(pod) == count for pod, count in zip(pods, before, strict=True)) and time.monotonic() < end:
            call(b"", timeout=10)
        before = [calls_to(pod) for pod in pods]
        for _ in range(CALLS):
            call(b"", timeout=10)
    return [calls_to(pod) - count for pod, count in zip(pods, before, strict=True)]


def documented_options(readme: pathlib.Path) -> list[tuple[str, str]]:
    (config,) = re.findall(r'\("grpc\.service_config", \'(.*)\'\)', readme.read_text())
    return [("grpc.service_config", config)]


def test_connection_pins_a_pod(pods):
    assert sorted(spread(pods, [])) == [0, CALLS]


def test_round_robin_as_the_readme_writes_it_reaches_every_pod(pods):
    assert spread(pods, documented_options(CHART / "README.md")) == [CALLS // 2, CALLS // 2]
