"""The HAProxy process of deploy/scale-out/haproxy.cfg, on ports of its own."""
import csv
import io
import os
import pathlib
import socket
import subprocess

from expectations import require
from replicas import wait_for

CONFIG = pathlib.Path(__file__).parents[2] / "deploy/scale-out/haproxy.cfg"

# What balances connections, to show the difference.
_CONNECTIONS = """
frontend connections
  mode tcp
  bind "${ILF_TCP_BIND}"
  default_backend connections
backend connections
  mode tcp
  balance roundrobin
  server ilf-1 "${ILF_SERVER_1}"
  server ilf-2 "${ILF_SERVER_2}"
  server ilf-3 "${ILF_SERVER_3}"
"""


class Haproxy:
    def __init__(self, binary, replicas, folder, port):
        self.address = f"127.0.0.1:{port}"
        self.tcp_address = f"127.0.0.1:{port + 1}"
        self._admin = folder / "haproxy.sock"
        connections = folder / "connections.cfg"
        connections.write_text(_CONNECTIONS, encoding="utf-8")
        environment = {**os.environ, "ILF_BIND": self.address, "ILF_TCP_BIND": self.tcp_address,
                       "ILF_ADMIN_SOCKET": str(self._admin)}
        for number, replica in enumerate(replicas, 1):
            environment[f"ILF_SERVER_{number}"] = replica.address
            environment[f"ILF_HEALTH_{number}"] = replica.health_address
        self._names = {replica.name: f"ilf-{number}" for number, replica in enumerate(replicas, 1)}
        self._log = (folder / "haproxy.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen([binary, "-db", "-f", CONFIG, "-f", connections], env=environment,
                                         stdout=self._log, stderr=subprocess.STDOUT)

    def stop(self):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def set_state(self, replica, state):
        """state: ready, or drain, which sends no new calls."""
        answer = self._ask(f"set server ilf/{self._names[replica.name]} state {state}")
        require(not answer.strip(), f"HAProxy: {answer.strip()}")

    def wait_for_state(self, replica, state):
        """state: UP, DOWN, DRAIN, as HAProxy's checks find it."""
        wait_for(lambda: self._states().get(self._names[replica.name], "").startswith(state),
                 f"HAProxy to find {replica.name} {state}")

    def _states(self):
        rows = csv.DictReader(io.StringIO(self._ask("show stat").removeprefix("# ")))
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "ilf"}

    def _ask(self, command):
        require(self._process.poll() is None, "HAProxy ended: see haproxy.log")
        with socket.socket(socket.AF_UNIX) as admin:
            try:
                admin.connect(str(self._admin))
            except OSError:  # it is starting
                return ""
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
