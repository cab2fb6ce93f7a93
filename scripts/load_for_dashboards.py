#!/usr/bin/env python3
"""Loads two ilf-servers so that every panel of dashboards/ has something to show.

    scripts/load_for_dashboards.py --client ilf-client --first HOST:PORT --first_metrics HOST:PORT
        --second HOST:PORT --second_ca FILE --second_pid PID [--rounds N]

The first server has a short queue and a short write_stall_timeout; the second has TLS and a model "oversized", whose
steps need much memory. While requests with and without feedback and previews go on, each round injects one of each
error, and fails if the client does not get it: refused values, models that are not there, prompts for a model that
takes none, request ids in use, deadlines that cannot be met, cancelled calls, a client that does not read, a full
queue, and steps without memory. One request takes longer than the latency objective. At last the second server is
told to stop while a request runs on it, and refuses.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MODEL = "fashion-dit"
# Exit codes of ilf-client.
OK, REFUSED_VALUE, UNAVAILABLE, TOO_LATE, CANCELLED, QUEUE_FULL, CANNOT, OTHER = 0, 3, 4, 5, 6, 7, 8, 9
# What the second server may still allocate once it has loaded its models: more than a step of fashion-dit takes,
# less than one of "oversized".
SPARE_BYTES = 150 << 20
# The server gives the connection of a stopped client up after about 11 s.
STALL_SECONDS = 12
STALL_TRIES = 5
# More than LATENCY_SECONDS in dashboards/source/rules.py.
LONG_SECONDS = 12


class Call:
    """One run of ilf-client, with its events."""

    def __init__(self, command: list[str], events: pathlib.Path) -> None:
        self.events = events
        with events.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)

    def wait_for_step(self) -> None:
        """Until an image has taken a step."""
        while b'"step"' not in self.events.read_bytes():
            if self.process.poll() is not None:
                raise RuntimeError(f"ilf-client ended with {self.process.returncode} before the first step")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait()


class Client:
    """ilf-client against one server."""

    def __init__(self, program: str, address: str, out: pathlib.Path, *more: str) -> None:
        self.command = [program, "generate", "--address", address, "--progress", "off", "--json", *more]
        self.out = out
        self.calls = itertools.count()

    def start(self, *flags: str, model: str = MODEL) -> Call:
        events = self.out / f"{next(self.calls)}.jsonl"
        return Call([*self.command, "--model", model, "--out", str(self.out / "{seed}.png"), *flags], events)

    def run(self, *flags: str, model: str = MODEL) -> int:
        return self.start(*flags, model=model).wait()


def expect(what: str, code: int, *allowed: int) -> None:
    if code not in allowed:
        raise RuntimeError(f"{what}: ilf-client ended with {code}, expected {' or '.join(map(str, allowed))}")


def go_on(client: Client, stop: threading.Event, *kinds: tuple[str, ...]) -> None:
    """Asks for one request after the other, by turns of these kinds; a full queue may refuse."""
    turn = 0
    while not stop.is_set():
        expect("steady load", client.run("--label", str(turn % 10), *kinds[turn % len(kinds)]), OK, QUEUE_FULL)
        turn += 1
        stop.wait(0.3)


def make_mistakes(client: Client) -> None:
    expect("too many steps", client.run("--label", "1", "--steps", "100000"), REFUSED_VALUE)
    expect("no such model", client.run("--label", "1", model="nothing"), REFUSED_VALUE)
    expect("a prompt for labels", client.run("a red heart"), CANNOT)
    first = client.start("--label", "1", "--steps", "60", "--acceleration", "off", "--request_id", "twice")
    first.wait_for_step()
    expect("a request id in use", client.run("--label", "1", "--request_id", "twice"), REFUSED_VALUE)
    expect("the first of that id", first.wait(), OK)


def run_out_of_time(client: Client) -> None:
    code = client.run("--label", "2", "--steps", "900", "--acceleration", "off", "--timeout", "3s")
    expect("a deadline that cannot be met", code, TOO_LATE)


def cancel(client: Client) -> None:
    running = client.start("--label", "3", "--steps", "900", "--acceleration", "off")
    running.wait_for_step()
    running.signal(signal.SIGINT)
    expect("a cancelled call", running.wait(), CANCELLED)


def stalled_streams(metrics: str) -> float:
    """What the server has counted."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("ilf_streams_stalled_total{"))


def stop_reading(client: Client, metrics: str) -> None:
    """The buffers fill with large previews, then the server cancels the stream. Where the processor is so busy that
    this takes longer than STALL_SECONDS, the connection has ended before: then it is tried again."""
    before = stalled_streams(metrics)
    for _ in range(STALL_TRIES):
        running = client.start("--label", "4", "--steps", "999", "--count", "8", "--guidance", "1",
                               "--acceleration", "off", "--preview_every", "1", "--preview_side", "512")
        running.wait_for_step()
        running.signal(signal.SIGSTOP)
        give_up = time.monotonic() + STALL_SECONDS
        while stalled_streams(metrics) == before and time.monotonic() < give_up:
            time.sleep(0.2)
        running.signal(signal.SIGKILL)
        running.wait()
        if stalled_streams(metrics) > before:
            return
    raise RuntimeError("a client that does not read: the server did not cancel the stream")


def overload(client: Client) -> None:
    flags = ("--label", "5", "--count", "12", "--steps", "10", "--acceleration", "off")
    codes = [running.wait() for running in [client.start(*flags) for _ in range(12)]]
    if QUEUE_FULL not in codes:
        raise RuntimeError(f"overload: the queue took it all, ilf-client ended with {codes}")


def take_long(client: Client) -> None:
    """One request that misses the latency objective."""
    images, took = 1, 0.0
    while took < LONG_SECONDS:
        start = time.monotonic()
        code = client.run("--label", "9", "--steps", "999", "--count", str(images), "--acceleration", "off")
        expect("a request that takes long", code, OK, QUEUE_FULL)
        took = time.monotonic() - start if code == OK else 0.0
        images = min(16, 2 * images)


def limit_memory(pid: int) -> None:
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmSize:"))
    resource.prlimit(pid, resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))


def run_out_of_memory(client: Client) -> None:
    code = client.run("--label", "6", "--steps", "2", model="oversized")
    expect("a step without memory", code, OTHER)  # RESOURCE_EXHAUSTED, but not the queue


def drain(client: Client, pid: int) -> None:
    """Stops the server while a request runs; meanwhile it refuses others."""
    running = client.start("--label", "7", "--steps", "900", "--count", "2", "--acceleration", "off")
    running.wait_for_step()
    os.kill(pid, signal.SIGTERM)
    for _ in range(3):
        time.sleep(1.5)
        expect("a request to a server that stops", client.run("--label", "8", "--timeout", "20s"), UNAVAILABLE)
    running.signal(signal.SIGKILL)
    running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", required=True)
    parser.add_argument("--first", required=True)
    parser.add_argument("--first_metrics", required=True)
    parser.add_argument("--second", required=True)
    parser.add_argument("--second_ca", required=True)
    parser.add_argument("--second_pid", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()

    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as threads:
        out = pathlib.Path(folder)
        for name in ("first", "second"):
            (out / name).mkdir()
        first = Client(options.client, options.first, out / "first")
        second = Client(options.client, options.second, out / "second", "--tls_ca", options.second_ca)
        plain = ("--steps", "20", "--preview_every", "2")
        feedback = ("--steps", "5", "--count", "3", "--acceleration", "feedback")
        steady = [
            threads.submit(go_on, first, stop, plain),
            threads.submit(go_on, first, stop, feedback),
            threads.submit(go_on, second, stop, plain, feedback),
        ]
        try:
            slow = threads.submit(take_long, first)
            limit_memory(options.second_pid)
            for turn in range(options.rounds):
                print(f"round {turn + 1} of {options.rounds}", flush=True)
                make_mistakes(first)
                run_out_of_time(first)
                cancel(first)
                run_out_of_memory(second)
                stop_reading(first, options.first_metrics)
                overload(first)
            slow.result()
        finally:
            stop.set()
        for load in steady:
            load.result()
        drain(second, options.second_pid)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"load_for_dashboards.py: {error}")
