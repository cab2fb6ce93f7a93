#!/usr/bin/env python3
"""Fails unless a bill of materials (CycloneDX) is that of an image.

    scripts/check_sbom.py ROOT SBOM

ROOT holds the image's files. The bill must list exactly its Debian packages (besides those it names as
headers), exactly the files of /opt/ilf and /models with their SHA-256, and torch.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

HEADERS = {"libcli11-dev", "nlohmann-json3-dev"}


def debian_packages(root: Path) -> set[tuple[str, str]]:
    listing = subprocess.run(
        [
            "dpkg-query",
            f"--admindir={root}/var/lib/dpkg",
            "--show",
            "--showformat=${db:Status-Status} ${Package} ${Version}\n",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = (line.split(" ") for line in listing.splitlines())
    return {(name, version) for status, name, version in rows if status == "installed"}


def files(root: Path) -> set[tuple[str, str]]:
    found = set()
    for folder in ("opt/ilf", "models"):
        for path in (root / folder).rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    found.add((f"/{path.relative_to(root)}", hashlib.file_digest(file, "sha256").hexdigest()))
    return found


def main() -> None:
    root, sbom = map(Path, sys.argv[1:])
    parts = json.loads(sbom.read_text())["components"]
    listed_packages = {
        (part["name"], part["version"])
        for part in parts
        if part.get("purl", "").startswith("pkg:deb/debian/")
    }
    listed_files = {(part["name"], part["hashes"][0]["content"]) for part in parts if part["type"] == "file"}
    headers = {part for part in listed_packages if part[0] in HEADERS}
    wheels = sorted(part["purl"] for part in parts if part.get("purl", "").startswith("pkg:pypi/"))
    problems = [
        *sorted(map(str, debian_packages(root) ^ (listed_packages - headers))),
        *sorted(map(str, files(root) ^ listed_files)),
        *sorted(HEADERS - {name for name, _ in headers}),
    ]
    if not any(wheel.startswith("pkg:pypi/torch@") for wheel in wheels):
        problems.append("torch is not listed")
    if problems:
        sys.exit("error: the bill and the image differ:\n  " + "\n  ".join(problems))
    print(f"  {len(listed_packages)} Debian packages, {len(listed_files)} files, {', '.join(wheels)}")


if __name__ == "__main__":
    main()
