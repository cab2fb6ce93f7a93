#!/usr/bin/env python3
"""Makes dashboards/*.json and dashboards/rules/ilf-server.yaml of dashboards/source/.

    scripts/make_dashboards.py [--check] [--runbook ADDRESS] [--out DIR]

--check writes nothing: it fails where a file differs from its source. Either way it fails, with a line for each, on
  a metric that neither docs/metrics.md nor a recording rule knows,
  a data source that is not the variable $datasource, or any other uid,
  a metric of this server in a row that is marked as not proven, or a foreign one outside,
  a latency objective that is no bucket of the histograms,
  an alert without a heading in docs/runbook.md, and a heading there without an alert,
  an alert that no unit test in dashboards/rules/tests/ sees fire, or none sees silent.
--runbook is what the alerts' runbook_url begins with (default: docs/runbook.md).
--out writes to DIR/*.json and DIR/rules/ in place of dashboards/.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "dashboards" / "source"))

import errors
import grafana
import latency
import pods
import rules
import saturation
import throughput

# File name without .json -> what makes it.
DASHBOARDS = {
    "latency": latency.latency,
    "throughput": throughput.throughput,
    "saturation": saturation.saturation,
    "errors": errors.errors,
    "pods": pods.pods,
}
SUFFIXES = re.compile("_(bucket|sum|count)$")
# What Prometheus itself makes.
BUILT_IN = {"up", "ALERTS"}
# PromQL's words and functions that stand where a metric could.
WORDS = {
    "absent", "avg", "by", "count", "group", "histogram_quantile", "increase", "last_over_time", "le", "max", "offset",
    "on", "or", "and", "rate", "sum", "sum_over_time", "time", "unless",
}  # fmt: skip


def documented_metrics(text: str) -> set[str]:
    """The names in the tables of docs/metrics.md."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def metrics_of(expr: str) -> set[str]:
    """The metrics that a PromQL expression reads, suffixes of histograms left out."""
    expr = re.sub(r'"[^"]*"', '""', expr)
    expr = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", expr)  # selectors and ranges
    expr = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", expr)
    names = set(re.findall(r"(?<![\w:.$])[A-Za-z_:][\w:]*", expr)) - WORDS
    return {SUFFIXES.sub("", name) for name in names}


def uids(value: object) -> Iterator[str]:
    """Every uid within a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "uid":
                yield str(inner)
            else:
                yield from uids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from uids(inner)


def dashboard_faults(name: str, dashboard: grafana.Json, known: set[str]) -> Iterator[str]:
    for uid in sorted(set(uids(dashboard)) - {grafana.DATASOURCE["uid"]}):
        yield f"{name}: the uid {uid} is written into it"
    for row, panel in grafana.panels_with_rows(dashboard):
        where = f"{name}: panel '{panel['title']}'"
        for target in panel["targets"]:
            read = metrics_of(target["expr"])
            if not read:
                yield f"{where} reads no metric"
            for metric in sorted(read):
                own = metric in known
                if grafana.NOT_PROVEN in row and own:
                    yield f"{where} reads {metric}, which can be proven, in the row '{row}'"
                if grafana.NOT_PROVEN not in row and not own:
                    yield f"{where} reads {metric}, which docs/metrics.md does not know"


def rule_faults(metrics_text: str, runbook: str, known: set[str]) -> Iterator[str]:
    groups = [*rules.recordings().values(), *rules.alerts().values()]
    for rule in (rule for group in groups for rule in group):
        for metric in sorted(metrics_of(rule.expr) - known):
            yield f"rule {rule.name} reads {metric}, which docs/metrics.md does not know"
    buckets = re.search(r"^Histograms of seconds have the buckets (.*?)\.$", metrics_text, re.MULTILINE)
    if not buckets or str(rules.LATENCY_SECONDS) not in re.split(", | and ", buckets[1]):
        yield f"the latency objective of {rules.LATENCY_SECONDS} s is no bucket in docs/metrics.md"
    alerts = {alert.name for group in rules.alerts().values() for alert in group}
    headings = set(re.findall(r"^## (Ilf\w+)$", runbook, re.MULTILINE))
    for name in sorted(alerts - headings):
        yield f"alert {name} has no heading in docs/runbook.md"
    for name in sorted(headings - alerts):
        yield f"docs/runbook.md tells of {name}, which is no alert"


def untested(tests: str) -> Iterator[str]:
    """Alerts that promtool's unit tests do not hold to both."""
    cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?$", tests, re.MULTILINE)
    for alert in (alert.name for group in rules.alerts().values() for alert in group):
        if (alert, "") not in cases:
            yield f"no test in dashboards/rules/tests/ sees {alert} fire"
        if (alert, " []") not in cases:
            yield f"no test in dashboards/rules/tests/ sees {alert} silent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--runbook", default=rules.RUNBOOK)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "dashboards")
    options = parser.parse_args()

    dashboards = {name: make() for name, make in DASHBOARDS.items()}
    files = {f"{name}.json": json.dumps(made, indent=2) + "\n" for name, made in dashboards.items()}
    files["rules/ilf-server.yaml"] = rules.to_yaml(options.runbook)

    metrics_text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    recorded = {rule.name for group in rules.recordings().values() for rule in group}
    known = documented_metrics(metrics_text) | recorded | BUILT_IN
    faults = [fault for name, made in dashboards.items() for fault in dashboard_faults(name, made, known)]
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    faults += rule_faults(metrics_text, runbook, known)
    tests = sorted((ROOT / "dashboards" / "rules" / "tests").glob("*.yaml"))
    faults += untested("".join(test.read_text(encoding="utf-8") for test in tests))

    out = options.out
    there = {str(file.relative_to(out)) for file in (*out.glob("*.json"), *out.glob("rules/*.yaml"))}
    faults += [f"{out / name} is made by no source" for name in sorted(there - set(files))]
    for name, text in files.items():
        file = out / name
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            faults.append(f"{file} is not what dashboards/source/ makes: run scripts/make_dashboards.py")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
