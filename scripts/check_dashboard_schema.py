#!/usr/bin/env python3
"""Fails on a field of a dashboard that Grafana's schema does not know, or that has another type there.

    scripts/check_dashboard_schema.py FILE.json...

Each file is read into the types of Grafana's own SDK (scripts/requirements-dashboards.txt), which are made of its
schema, and written again. What is lost or changed on the way is no part of the schema.
"""
from __future__ import annotations

import json
import pathlib
import re
import sys
from collections.abc import Iterator

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def losses(path: str, before: object, after: object) -> Iterator[str]:
    """What of `before` is not in `after`, which may hold more: defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from losses(f"{path}.{key}", value, after[key])
            else:
                yield f"{path}.{key} is no field"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from losses(f"{path}[{index}]", one, other)
    elif before != after:
        yield f"{path} is {before!r}, read as {after!r}"


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    plugins.register_default_plugins()
    faults = []
    for name in sys.argv[1:]:
        before = json.loads(pathlib.Path(name).read_text(encoding="utf-8"))
        after = json.loads(JSONEncoder().encode(Dashboard.from_json(before)))
        faults += [f"{name}: {re.sub('^[.]', '', fault)}" for fault in losses("", before, after)]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
