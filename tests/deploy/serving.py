"""Starts ilf-server for a test."""
import pathlib
import subprocess
import tempfile
import time

import grpc


class Server:
    """A running ilf-server; ends with the `with` block. `ports`: what it wrote into its --port_file."""

    def __init__(self, binaries: pathlib.Path, arguments: list[str], address: str = "127.0.0.1:0"):
        self._scratch = tempfile.TemporaryDirectory()
        port_file = pathlib.Path(self._scratch.name, "ports")
        self._log = pathlib.Path(self._scratch.name, "log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [binaries / "ilf-server", *arguments, f"--address={address}", "--metrics_address=127.0.0.1:0",
                 "--health_address=127.0.0.1:0", f"--port_file={port_file}"], stderr=log)
        self._wait(lambda: port_file.exists() and port_file.read_text().count("\n") == 3)
        self.ports: dict[str, str] = dict(line.split("=", 1) for line in port_file.read_text().split())

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()

    def _wait(self, condition) -> None:
        end = time.monotonic() + 60
        while not condition():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                raise RuntimeError(f"the server did not come up: {self._log.read_text()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with grpc.insecure_channel(self.ports["health_address"]) as channel:
            try:
                return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == b"\x08\x01"
            except grpc.RpcError:
                return False

    def wait_until_ready(self) -> None:
        self._wait(self._is_ready)

    def client_flags(self, certificates: pathlib.Path) -> list[str]:
        return [f"--address={self.ports['address']}", f"--tls_ca={certificates}/ca.crt",
                f"--tls_cert={certificates}/tls.crt", f"--tls_key={certificates}/tls.key"]

    def stop(self, timeout: float) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(timeout)


def make_certificates(folder: pathlib.Path) -> pathlib.Path:
    """ca.crt, tls.crt and tls.key as a Secret has them, for 127.0.0.1: servers and clients take the same."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "tls.key", "-out",
                    folder / "tls.crt"], check=True, capture_output=True)
    (folder / "ca.crt").write_bytes((folder / "tls.crt").read_bytes())
    return folder
