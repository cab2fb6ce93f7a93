#!/usr/bin/env python3
"""Loads two ilf-servers so that every panel of dashboards/ has something to show.

    scripts/load_for_dashboards.py --client ilf-client --first HOST:PORT --second HOST:PORT --second_ca FILE
        --second_pid PID [--rounds N]

The first server has a short queue and a short write_stall_timeout; the second has TLS and a model "oversized", whose
steps need much memory. While requests with and without feedback and previews go on, each round injects one of each
error, and fails if the client does not get it: refused values, models that are not there, prompts for a model that
takes none, request ids in use, deadlines that cannot be met, cancelled calls, a client that does not read, a full
queue, and steps without memory. At last the second server is told to stop while a request runs on it, and refuses.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

MODEL = "fashion-dit"
# Exit codes of ilf-client.
OK, REFUSED_VALUE, UNAVAILABLE, TOO_LATE, CANCELLED, QUEUE_FULL, CANNOT = 0, 3, 4, 5, 6, 7, 8
# What the second server may still allocate once it has loaded its models: more than a step of fashion-dit takes,
# less than one of "oversized".
SPARE_BYTES = 150 << 20


class Client:
    """ilf-client against one server."""

    def __init__(self, program: str, address: str, out: pathlib.Path, *more: str) -> None:
        self.command = [program, "generate", "--address", address, "--progress", "off", "--json", *more]
        self.out = out

    def start(self, *flags: str, model: str = MODEL) -> subprocess.Popen[bytes]:
        command = [*self.command, "--model", model, "--out", str(self.out / "{seed}.png"), *flags]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *flags: str, model: str = MODEL) -> int:
        return self.start(*flags, model=model).wait()


def expect(what: str, code: int, *allowed: int) -> None:
    if code not in allowed:
        raise RuntimeError(f"{what}: ilf-client ended with {code}, expected {' or '.join(map(str, allowed))}")


def go_on(client: Client, stop: threading.Event, *kinds: tuple[str, ...]) -> None:
    """Asks for one picture after the other, by turns of these kinds; a full queue may refuse."""
    turn = 0
    while not stop.is_set():
        expect("steady load", client.run("--label", str(turn % 10), *kinds[turn % len(kinds)]), OK, QUEUE_FULL)
        turn += 1
        stop.wait(0.3)


def make_mistakes(client: Client) -> None:
    expect("too many steps", client.run("--label", "1", "--steps", "100000"), REFUSED_VALUE)
    expect("no such model", client.run("--label", "1", model="nothing"), REFUSED_VALUE)
    expect("a prompt for labels", client.run("a red heart"), CANNOT)
    first = client.start("--label", "1", "--steps", "150", "--acceleration", "off", "--request_id", "twice")
    time.sleep(0.5)
    expect("a request id in use", client.run("--label", "1", "--request_id", "twice"), REFUSED_VALUE)
    expect("the first of that id", first.wait(), OK)


def run_out_of_time(client: Client) -> None:
    code = client.run("--label", "2", "--steps", "900", "--acceleration", "off", "--timeout", "400ms")
    expect("a deadline that cannot be met", code, TOO_LATE)


def cancel(client: Client) -> None:
    running = client.start("--label", "3", "--steps", "900", "--acceleration", "off")
    time.sleep(0.7)
    running.send_signal(signal.SIGINT)
    expect("a cancelled call", running.wait(), CANCELLED)


def stop_reading(client: Client) -> None:
    """The write buffers fill with large previews, then the stream is cancelled; the client learns it afterwards."""
    running = client.start("--label", "4", "--steps", "100", "--count", "8", "--guidance", "1", "--acceleration", "off",
                           "--preview_every", "1", "--preview_side", "512")
    time.sleep(0.7)
    running.send_signal(signal.SIGSTOP)
    time.sleep(5)
    running.send_signal(signal.SIGCONT)
    expect("a client that does not read", running.wait(), CANCELLED)


def overload(client: Client) -> None:
    flags = ("--label", "5", "--count", "12", "--steps", "10", "--acceleration", "off")
    codes = [running.wait() for running in [client.start(*flags) for _ in range(5)]]
    if QUEUE_FULL not in codes:
        raise RuntimeError(f"overload: the queue took it all, ilf-client ended with {codes}")


def limit_memory(pid: int) -> None:
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmSize:"))
    resource.prlimit(pid, resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))


def run_out_of_memory(client: Client) -> None:
    code = client.run("--label", "6", "--steps", "2", model="oversized")
    expect("a step without memory", code, QUEUE_FULL)  # both are RESOURCE_EXHAUSTED


def drain(client: Client, pid: int) -> None:
    """Stops the server while a request runs; meanwhile it refuses others."""
    running = client.start("--label", "7", "--steps", "900", "--count", "2", "--acceleration", "off")
    time.sleep(1)
    subprocess.run(["kill", "-TERM", str(pid)], check=True)
    for _ in range(3):
        time.sleep(1.5)
        expect("a request to a server that stops", client.run("--label", "8", "--timeout", "3s"), UNAVAILABLE)
    running.kill()
    running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", required=True)
    parser.add_argument("--first", required=True)
    parser.add_argument("--second", required=True)
    parser.add_argument("--second_ca", required=True)
    parser.add_argument("--second_pid", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()

    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as threads:
        out = pathlib.Path(folder)
        first = Client(options.client, options.first, out)
        second = Client(options.client, options.second, out, "--tls_ca", options.second_ca)
        plain = ("--steps", "20", "--preview_every", "2")
        feedback = ("--steps", "5", "--count", "3", "--acceleration", "feedback")
        steady = [
            threads.submit(go_on, first, stop, plain),
            threads.submit(go_on, first, stop, feedback),
            threads.submit(go_on, second, stop, plain, feedback),
        ]
        try:
            limit_memory(options.second_pid)
            for turn in range(options.rounds):
                print(f"round {turn + 1} of {options.rounds}", flush=True)
                make_mistakes(first)
                run_out_of_time(first)
                cancel(first)
                run_out_of_memory(second)
                stop_reading(first)
                overload(first)
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
