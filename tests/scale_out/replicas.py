"""ilf-server processes, and what they say about themselves: metrics, logs, exit codes."""
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from expectations import require

PATIENCE = 180  # seconds for what has to come in the end, on a slow machine too
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_ENDED = re.compile(r"request_id='([^']*)' .*outcome=(\w+)")


def wait_for(condition, what):
    """Returns the first result of `condition` that is true."""
    give_up = time.monotonic() + PATIENCE
    while True:
        if result := condition():
            return result
        require(time.monotonic() < give_up, f"waited {PATIENCE} s for {what}")
        time.sleep(0.02)


class Replica:
    """One server on ports of its own; the same ones when it starts again."""

    def __init__(self, name, binary, models, folder, port):
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self.health_address = f"127.0.0.1:{port + 1}"
        self._metrics_address = f"127.0.0.1:{port + 2}"
        self._command = [
            binary, "--model_root", models, "--address", self.address, "--health_address", self.health_address,
            "--metrics_address", self._metrics_address, "--device", "cpu", "--threads_per_worker", "1",
            "--drain_timeout", f"{PATIENCE}s"]
        self._log_path = folder / f"{name}.log"
        self._process = None

    def start(self):
        """Begins to load the model; `wait_until_serving` waits for it."""
        with self._log_path.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(self._command, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def wait_until_serving(self):
        def serving():
            require(self._process.poll() is None, f"{self.name} ended: see {self._log_path}")
            return self.metric("ilf_serving") == 1
        wait_for(serving, f"{self.name} to serve")

    def metric(self, name, **labels):
        """Sum of the samples that have these labels; None while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self._metrics_address}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError):
            return None
        total = 0.0
        for match in filter(None, map(_SAMPLE.match, lines)):
            if match[1] == name and labels.items() <= dict(_LABEL.findall(match[2] or "")).items():
                total += float(match[3])
        return total

    def started(self, method="Generate"):
        """Calls of a method that began since the process did."""
        return int(self.metric("grpc_server_started_total", grpc_method=method) or 0)

    def refused(self):
        """Generate calls that were turned away since the process began."""
        return int(self.metric("ilf_requests_total", outcome="UNAVAILABLE") or 0)

    def painted(self):
        """Generate calls that ended with OK since the process began."""
        return int(self.metric("ilf_requests_total", outcome="OK") or 0)

    def cancelled(self):
        return int(self.metric("ilf_requests_total", outcome="CANCELLED") or 0)

    def running(self):
        return int(self.metric("ilf_open_streams") or 0)

    def ended(self):
        """request_id -> outcome, as logged by all processes that this replica has been."""
        return dict(_ENDED.findall(self._log_path.read_text(encoding="utf-8")))

    def kill(self):
        self._process.kill()
        self._process.wait()

    def begin_drain(self):
        """SIGTERM; returns once new requests are refused."""
        self._process.send_signal(signal.SIGTERM)
        wait_for(lambda: self.metric("ilf_serving") != 1, f"{self.name} to drain")

    def wait_for_exit(self):
        return self._process.wait(timeout=PATIENCE)

    def alive(self):
        return self._process is not None and self._process.poll() is None
