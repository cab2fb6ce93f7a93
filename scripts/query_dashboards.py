#!/usr/bin/env python3
"""Runs every query of every panel of the dashboards against a Prometheus, as Grafana would.

    scripts/query_dashboards.py --prometheus URL --start UNIX --end UNIX [--dashboards DIR] [--out FILE.json]
        [--firing ALERT...]

Fails, with the panel's name, where a query brings no series with a finite value other than 0: with "All" chosen for
each variable, and for each variable with a single value of it (one of its values must do). Fails where a variable's
own query brings no value, and where an ALERT did not fire. Panels in rows that are marked as not proven are counted,
not queried. --out receives the series, for plot_dashboards.py.
"""
from __future__ import annotations

import argparse
import json
import math
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dashboards" / "source"))

import grafana  # noqa: E402
from grafana import Json  # noqa: E402

# As the data source's "scrape interval" in Grafana's settings, from which it makes both intervals.
SCRAPE_SECONDS = 2
STEP_SECONDS = SCRAPE_SECONDS
RATE_SECONDS = max(STEP_SECONDS + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)


class Prometheus:
    """Its HTTP API, over one range of time."""

    def __init__(self, url: str, start: float, end: float) -> None:
        self.url = url.rstrip("/")
        self.start = start
        self.end = end

    def get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error).get("error", str(error))) from error

    def range(self, expr: str) -> list[Json]:
        times = {"start": str(self.start), "end": str(self.end), "step": str(STEP_SECONDS)}
        return self.get("query_range", query=expr, **times)["result"]

    def label_values(self, selector: str, label: str) -> list[str]:
        times = {"start": str(self.start), "end": str(self.end)}
        return [value for value in self.get(f"label/{label}/values", **{"match[]": selector}, **times) if value]


def substitute(text: str, values: dict[str, str]) -> str:
    """Grafana's $name and ${name}. Raises KeyError for a variable that is not there."""
    values = {**values, "__rate_interval": f"{RATE_SECONDS}s", "__interval": f"{STEP_SECONDS}s"}
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: values[found[1] or found[2]], text)


def escaped(value: str) -> str:
    """A value as Grafana writes it into a PromQL string that is a regular expression."""
    return re.sub(r"([\\^$.*+?()\[\]{}|])", r"\\\\\1", value)


def legend(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template).strip()


def has_something(series: list[Json]) -> bool:
    """Whether any sample is finite and not 0."""
    samples = (float(value) for one in series for _, value in one["values"])
    return any(math.isfinite(sample) and sample != 0 for sample in samples)


def variables_of(dashboard: Json, prometheus: Prometheus) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """(name -> value where all is chosen, name -> its single values, faults)."""
    everything: dict[str, str] = {}
    single: dict[str, list[str]] = {}
    faults = []
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "query":
            everything[name] = variable["allValue"]
            query = substitute(variable["query"]["query"], everything)
            parts = re.fullmatch(r"label_values\((.*), *(\w+)\)", query)
            single[name] = prometheus.label_values(parts[1], parts[2]) if parts else []
            if not single[name]:
                faults.append(f"variable {name}: {query} brings no value")
    return everything, single, faults


def query_faults(
    expr: str, everything: dict[str, str], single: dict[str, list[str]], prometheus: Prometheus, found: list[Json]
) -> Iterator[str]:
    """What is wrong with a query; its series with all values chosen go to `found`."""
    found += prometheus.range(substitute(expr, everything))
    if not found:
        yield "brings no series"
        return
    if not has_something(found):
        yield "brings nothing but 0"
        return
    for name, values in single.items():
        if f"${name}" in expr and not any(
            has_something(prometheus.range(substitute(expr, {**everything, name: escaped(value)})))
            for value in values
        ):
            yield f"brings nothing for any single ${name} of {', '.join(values)}"


def check_dashboard(name: str, dashboard: Json, prometheus: Prometheus) -> tuple[list[str], dict[str, list[Json]], int]:
    """(faults, panel id -> series, number of panels that were left out)."""
    everything, single, faults = variables_of(dashboard, prometheus)
    faults = [f"{name}: {fault}" for fault in faults]
    series: dict[str, list[Json]] = {}
    left_out = 0
    for row, panel in grafana.panels_with_rows(dashboard):
        if grafana.NOT_PROVEN in row:
            left_out += 1
            continue
        shown = series.setdefault(str(panel["id"]), [])
        for target in panel["targets"]:
            where = f"{name}: panel '{panel['title']}', query {target['refId']}"
            found: list[Json] = []
            try:
                wrong = list(query_faults(target["expr"], everything, single, prometheus, found))
            except (ValueError, KeyError) as error:
                wrong = [f"is wrong: {error}"]
            faults += [f"{where} {fault}: {target['expr']}" for fault in wrong]
            for one in found:
                shown.append({"legend": legend(target["legendFormat"], one["metric"]), "values": one["values"]})
    return faults, series, left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--start", type=float, required=True)
    parser.add_argument("--end", type=float, required=True)
    parser.add_argument("--dashboards", type=pathlib.Path, default=pathlib.Path("dashboards"))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--firing", nargs="*", default=[])
    options = parser.parse_args()

    prometheus = Prometheus(options.prometheus, options.start, options.end)
    faults: list[str] = []
    results: dict[str, dict[str, list[Json]]] = {}
    for file in sorted(options.dashboards.glob("*.json")):
        dashboard = json.loads(file.read_text(encoding="utf-8"))
        wrong, results[file.stem], left_out = check_dashboard(file.stem, dashboard, prometheus)
        faults += wrong
        print(f"{file.stem}: {len(results[file.stem])} panels queried, {left_out} not proven, {len(wrong)} faults")
    if not results:
        faults.append(f"{options.dashboards} holds no dashboards")
    faults += [
        f"alert {alert} did not fire"
        for alert in options.firing
        if not prometheus.range(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
    ]
    if options.out:
        span = {"start": options.start, "end": options.end, "step": STEP_SECONDS, "dashboards": results}
        options.out.write_text(json.dumps(span), encoding="utf-8")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
