"""Writes the image's bill of materials: CycloneDX, JSON, checked against the format's schema.

It lists every Debian package of the final stage, the Python wheels whose files were copied, what was
compiled in, and each file of /opt/ilf and /models with its SHA-256. Runs in the sbom stage of
docker/Dockerfile, which has the same Debian as the final one.
"""

import argparse
import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

# Debian packages of headers alone, which leave no library in the image.
HEADERS = ("libcli11-dev", "nlohmann-json3-dev")

license_factory = LicenseFactory()


def debian_packages(dpkg: Path | None, names: tuple[str, ...] = ()) -> Iterator[Component]:
    """Packages that the database in `dpkg` (default: this machine's) has as installed."""
    fields = (
        "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
    )
    command = ["dpkg-query", "--show", f"--showformat={fields}"]
    if dpkg:
        command.append(f"--admindir={dpkg}")
    listing = subprocess.run([*command, *names], check=True, capture_output=True, text=True).stdout
    release = "debian-" + platform.freedesktop_os_release()["VERSION_ID"]
    for line in listing.splitlines():
        status, name, version, architecture, source, source_version = line.split("\t")
        if status != "installed":
            continue
        qualifiers = {"arch": architecture, "distro": release}
        purl = PackageURL("deb", "debian", name, version, qualifiers)
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            purl=purl,
            bom_ref=purl.to_string(),
            properties=[Property(name="debian:source", value=f"{source} {source_version}")],
        )


def copied_wheels(site: Path, copied: Path) -> Iterator[Component]:
    """Wheels in `site` some of whose files lie at the same place below `copied`."""
    for wheel in importlib.metadata.distributions(path=[str(site)]):
        if not any((copied / file).is_file() for file in wheel.files or ()):
            continue
        purl = PackageURL("pypi", None, wheel.metadata["Name"].lower(), wheel.version)
        expression = wheel.metadata.get("License-Expression")
        yield Component(
            type=ComponentType.LIBRARY,
            name=wheel.metadata["Name"],
            version=wheel.version,
            purl=purl,
            bom_ref=purl.to_string(),
            licenses=[license_factory.make_from_string(expression)] if expression else (),
        )


def sentencepiece(requirements: Path) -> Component:
    """The tokenizer's library, which is built from a source package and linked in."""
    found = re.fullmatch(r"sentencepiece==(\S+) --hash=sha256:([0-9a-f]{64})\s*", requirements.read_text())
    if not found:
        sys.exit(f"{requirements} does not pin sentencepiece and its hash")
    purl = PackageURL("pypi", None, "sentencepiece", found[1])
    return Component(
        type=ComponentType.LIBRARY,
        name="sentencepiece",
        version=found[1],
        purl=purl,
        bom_ref=purl.to_string(),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=found[2])],
        licenses=[license_factory.make_with_id("Apache-2.0")],
    )


def files(image: Path) -> Iterator[Component]:
    for folder in ("opt/ilf", "models"):
        for path in sorted((image / folder).rglob("*")):
            if not path.is_file():
                continue
            name = "/" + str(path.relative_to(image))
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield Component(
                type=ComponentType.FILE,
                name=name,
                bom_ref=f"file:{name}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )


def project_version(cmake_lists: Path) -> str:
    found = re.search(r"project\(ilf_server VERSION (\S+)", cmake_lists.read_text())
    if not found:
        sys.exit(f"{cmake_lists} names no version")
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, required=True, help="what assemble.sh made")
    parser.add_argument("--dpkg", type=Path, required=True, help="the final stage's /var/lib/dpkg")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    server = Component(
        type=ComponentType.CONTAINER,
        name="ilf-server",
        version=project_version(Path("CMakeLists.txt")),
        licenses=[license_factory.make_with_id("Apache-2.0")],
    )
    sites = list(Path(".deps/venv/lib").glob("python3*/site-packages"))
    if len(sites) != 1:
        sys.exit(f".deps/venv holds {len(sites)} site-packages")
    parts = [
        *debian_packages(arguments.dpkg),
        *debian_packages(None, HEADERS),
        *copied_wheels(sites[0], arguments.image / "opt/ilf/lib"),
        sentencepiece(Path("scripts/requirements-source.txt")),
        *files(arguments.image),
    ]
    bom = Bom(components=parts)
    bom.metadata.component = server
    bom.register_dependency(server, parts)

    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"not CycloneDX 1.6: {error}")
    arguments.out.write_text(text + "\n")
    print(f"{arguments.out}: {len(parts)} components")


if __name__ == "__main__":
    main()
