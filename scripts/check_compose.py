#!/usr/bin/env python3
"""Fails where docker/compose.yaml does not fit what it mounts, docker/Dockerfile or the version.

    scripts/check_compose.py COMPOSE.json

COMPOSE.json is what `docker compose config --format json` prints.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

GRAFANA = Path("docker/grafana/provisioning")


def hardening(name: str, service: dict) -> Iterator[str]:
    if not service.get("read_only"):
        yield f"{name} may write to its root"
    if service.get("cap_drop") != ["ALL"]:
        yield f"{name} keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name} may gain privileges"
    if any(port.get("host_ip") != "127.0.0.1" for port in service.get("ports", [])):
        yield f"{name} is open to the network"
    if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]):
        yield f"{name} has no pinned image: {service['image']}"


def mounts(name: str, service: dict) -> Iterator[str]:
    for volume in service.get("volumes", []):
        if volume["type"] != "bind":
            continue
        if not volume.get("read_only"):
            yield f"{name} may write to {volume['source']}"
        if not Path(volume["source"]).exists():
            yield f"{name} mounts {volume['source']}, which is not there"


def targets(services: dict) -> Iterator[str]:
    """Every address in a configuration is that of a service, every dashboard folder is mounted."""
    prometheus = yaml.safe_load(Path("docker/prometheus/prometheus.yaml").read_text())
    hosts = [
        target.split(":")[0]
        for job in prometheus["scrape_configs"]
        for config in job["static_configs"]
        for target in config["targets"]
    ]
    for file in GRAFANA.glob("datasources/*.yaml"):
        for source in yaml.safe_load(file.read_text())["datasources"]:
            hosts.append(urlsplit(source["url"]).hostname or "")
    for host in hosts:
        if host not in services:
            yield f"no service is called {host!r}"
    mounted = {volume["target"]: volume["source"] for volume in services["grafana"]["volumes"]}
    for file in GRAFANA.glob("dashboards/*.yaml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            folder = mounted.get(provider["options"]["path"])
            if not folder or not any(Path(folder).glob("*.json")):
                yield f"Grafana finds no dashboards in {provider['options']['path']}"


def agreement(server: dict) -> Iterator[str]:
    """The health check is the image's, and one version stands everywhere."""
    dockerfile = Path("docker/Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", dockerfile, re.DOTALL | re.MULTILINE)
    if not found or server["healthcheck"]["test"] != ["CMD", *json.loads(found[1])]:
        yield "the health checks of compose.yaml and Dockerfile differ"
    versions = {
        "CMakeLists.txt": re.search(r"project\(ilf_server VERSION (\S+)", Path("CMakeLists.txt").read_text()),
        "Dockerfile": re.search(r"^ARG VERSION=(\S+)", dockerfile, re.MULTILINE),
        "compose.yaml": re.search(r":([\d.]+)$", server["image"]),
        "Chart.yaml": re.search(
            r"^appVersion: (\S+)", Path("deploy/helm/ilf-server/Chart.yaml").read_text(), re.MULTILINE
        ),
    }
    named = {file: match[1] if match else None for file, match in versions.items()}
    if len(set(named.values())) != 1:
        yield f"versions differ: {named}"


def main() -> None:
    services = json.loads(Path(sys.argv[1]).read_text())["services"]
    problems = [
        *(problem for name, service in services.items() for problem in hardening(name, service)),
        *(problem for name, service in services.items() for problem in mounts(name, service)),
        *targets(services),
        *agreement(services["server"]),
    ]
    if problems:
        sys.exit("error: docker/compose.yaml:\n  " + "\n  ".join(problems))
    print("  " + ", ".join(f"{name} ({service['image']})" for name, service in sorted(services.items())))


if __name__ == "__main__":
    main()
