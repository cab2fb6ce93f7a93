#!/usr/bin/env python3
"""Draws the dashboards with the series that query_dashboards.py found, one PNG each.

    scripts/plot_dashboards.py SERIES.json [--dashboards DIR] [--out DIR]

Panels lie where Grafana puts them. Needs scripts/requirements-dashboards.txt.
"""
from __future__ import annotations

import argparse
import datetime
import json
import math
import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, date2num
from matplotlib.ticker import FuncFormatter

Json = dict[str, Any]

COLUMN_INCHES = 0.62
UNIT_INCHES = 0.36
COLOURS = ["#56a64b", "#e0b400", "#3274d9", "#e02f44", "#8f3bb8", "#ff780a", "#37872d", "#5794f2", "#b877d9", "#8ab8ff"]
NAMED = {"red": "#e02f44", "orange": "#ff780a", "yellow": "#e0b400", "green": "#37872d", "text": "#24292e"}
LEGEND_LINES = 3


def shown(value: float, unit: str) -> str:
    """A value as Grafana's units write it."""
    if not math.isfinite(value):
        return "no data"
    if value == 0:
        return "0"
    if unit == "s":
        for limit, size, name in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
            if abs(value) < limit:
                return f"{value / size:.3g} {name}"
        return f"{value / 86400:.3g} d"
    if unit == "percentunit":
        return f"{value * 100:.0f}%" if abs(value) >= 1 else f"{value * 100:.3g}%"
    if unit == "reqps":
        return f"{value:.3g}/s"
    return f"{value / 1000:.3g}k" if abs(value) >= 1000 else f"{value:.3g}"


def day(unix_seconds: float) -> float:
    """The time on matplotlib's axes."""
    return float(date2num(datetime.datetime.fromtimestamp(unix_seconds, datetime.UTC)))


def points(series: Json, step: float) -> tuple[list[float], list[float]]:
    """Times and values; where samples are missing a NaN breaks the line, as in Grafana."""
    times: list[float] = []
    values: list[float] = []
    last = math.inf
    for at, value in series["values"]:
        if at - last > 1.5 * step:
            times.append(day(last + step))
            values.append(math.nan)
        times.append(day(at))
        values.append(float(value))
        last = at
    return times, values


def draw_lines(axes: Axes, panel: Json, series: list[Json], step: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    for index, one in enumerate(series):
        times, values = points(one, step)
        colour = COLOURS[index % len(COLOURS)]
        if stacked:
            base = [below.get(at, 0.0) for at in times]
            values = [value + floor for value, floor in zip(values, base)]
            below.update((at, value) for at, value in zip(times, values) if math.isfinite(value))
            axes.fill_between(times, base, values, color=colour, alpha=0.25, linewidth=0)
        marker = "." if len(times) < 5 else None
        axes.plot(times, values, color=colour, linewidth=1, marker=marker, label=one["legend"])
    for threshold in defaults["thresholds"]["steps"][1:]:
        axes.axhline(threshold["value"], color=NAMED[threshold["color"]], linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=0, top=defaults.get("max"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"])))
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if panel["gridPos"]["w"] < 12 else 4
    room = columns * LEGEND_LINES
    if len(labels) > room:
        labels[room - 1] = f"... {len(labels) - room + 1} more"
    axes.legend(handles[:room], labels[:room], loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=columns,
                fontsize=6.5, frameon=False)


def draw_heatmap(axes: Axes, panel: Json, series: list[Json], start: float, end: float) -> None:
    """Cumulative buckets, by le, become how many fell into each."""
    bounds = sorted({float(one["legend"]) for one in series})
    at = sorted({when for one in series for when, _ in one["values"]})
    counts = {(float(one["legend"]), when): float(value) for one in series for when, value in one["values"]}
    cells = [
        [max(0.0, counts.get((high, when), 0.0) - (counts.get((low, when), 0.0) if low is not None else 0.0))
         for when in at]
        for low, high in zip([None, *bounds], bounds)
    ]
    used = [index for index, row in enumerate(cells) if any(cell > 1e-9 for cell in row)]
    first, last = max(0, min(used) - 1), min(len(bounds), max(used) + 2)
    times = [day(when) for when in at]
    width = times[1] - times[0] if len(times) > 1 else 1e-4
    grid = [[cell if cell > 1e-9 else math.nan for cell in row] for row in cells[first:last]]
    axes.pcolormesh([*times, times[-1] + width], range(len(grid) + 1), grid, cmap="Oranges", vmin=0)
    unit = panel["options"]["yAxis"]["unit"]
    labels = [shown(bound, unit) if math.isfinite(bound) else "more" for bound in bounds[first:last]]
    axes.set_yticks([index + 0.5 for index in range(len(grid))], labels)
    axes.set_xlim(day(start), day(end))


def draw_stat(axes: Axes, panel: Json, series: list[Json]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_axis_off()
    for index, one in enumerate(series):
        value = [float(number) for _, number in one["values"] if math.isfinite(float(number))][-1]
        colour = "text"
        for threshold in defaults["thresholds"]["steps"]:
            if threshold["value"] is None or value >= threshold["value"]:
                colour = threshold["color"]
        x = (index + 0.5) / len(series)
        axes.text(x, 0.5, shown(value, defaults["unit"]), ha="center", va="center", fontsize=19, color=NAMED[colour])
        axes.text(x, 0.12, one["legend"], ha="center", va="center", fontsize=7.5, color="#555555")


def draw(dashboard: Json, series: dict[str, list[Json]], span: Json, file: pathlib.Path) -> None:
    start, end = span["start"], span["end"]
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 2
    figure = plt.figure(figsize=(24 * COLUMN_INCHES, height * UNIT_INCHES), facecolor="#f4f5f5")
    figure.text(0.01, 1 - 1 / height, dashboard["title"], fontsize=14, va="center", weight="bold")
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / 24, 1 - (place["y"] + 2) / height
        if panel["type"] == "row":
            mark = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}" if panel["collapsed"] else ""
            figure.text(left + 0.008, top - 0.6 / height, f"{mark} {panel['title']}".strip(), fontsize=10.5, va="center")
            continue
        card = figure.add_axes((left + 0.003, top - (place["h"] - 0.15) / height, place["w"] / 24 - 0.006,
                                (place["h"] - 0.3) / height), facecolor="white")
        card.set(xticks=[], yticks=[])
        card.spines[:].set_color("#d8d9da")
        wide = place["w"] / 24
        legend_space = 2.1 if panel["type"] == "timeseries" else 1.1 if panel["type"] == "heatmap" else 0.4
        axes = figure.add_axes((left + 0.04, top - (place["h"] - legend_space) / height, wide - 0.055,
                                (place["h"] - legend_space - 1.2) / height))
        figure.text(left + wide / 2, top - 0.65 / height, panel["title"], fontsize=8.5, ha="center", va="center",
                    weight="bold")
        found = series[str(panel["id"])]
        if panel["type"] == "stat":
            draw_stat(axes, panel, found)
            continue
        if panel["type"] == "heatmap":
            draw_heatmap(axes, panel, found, start, end)
        else:
            draw_lines(axes, panel, found, span["step"])
            axes.grid(color="#e8e8e8", linewidth=0.6)
            axes.set_xlim(day(start), day(end))
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
        axes.xaxis.set_major_locator(plt.MaxNLocator(4))
        axes.tick_params(labelsize=6.5, length=2, colors="#555555")
        axes.spines[:].set_visible(False)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=pathlib.Path)
    parser.add_argument("--dashboards", type=pathlib.Path, default=pathlib.Path("dashboards"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/images"))
    options = parser.parse_args()

    measured = json.loads(options.series.read_text(encoding="utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, series in measured["dashboards"].items():
        dashboard = json.loads((options.dashboards / f"{name}.json").read_text(encoding="utf-8"))
        draw(dashboard, series, measured, options.out / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
