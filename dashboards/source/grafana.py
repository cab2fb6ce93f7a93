"""Grafana's dashboard JSON in a few words: queries, panels, rows and dashboards.

Panels are put next to each other on Grafana's 24 columns, row by row. The datasource is always the variable
`$datasource`, and nothing has a uid of its own, so that the files can be imported anywhere, and twice.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

# The last version of the classic schema. Grafana migrates older ones when it loads them.
SCHEMA_VERSION = 42
TAG = "ilf-server"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# A row with these words holds panels on metrics of other exporters, which check_dashboards.sh cannot query.
NOT_PROVEN = "not proven"

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Query:
    """PromQL, and the name that its series get: text with {{label}}s."""

    expr: str
    legend: str


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel without its place. `body` is what its type adds to the common part."""

    title: str
    description: str
    body: Json
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Row:
    """Panels under a heading; those of a collapsed row are shown on a click."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


def targets(queries: Sequence[Query], format_: str = "time_series") -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend,
            "format": format_,
            "range": True,
            "instant": False,
        }
        for index, query in enumerate(queries)
    ]


def steps(thresholds: Sequence[tuple[float, str]], base: str) -> Json:
    """Colours from each value upwards; `base` below the first."""
    first: Json = {"color": base, "value": None}
    return {"mode": "absolute", "steps": [first] + [{"color": c, "value": v} for v, c in thresholds]}


def timeseries(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    width: int = 8,
    height: int = 8,
    stack: bool = False,
    top: float | None = None,
    lines: Sequence[tuple[float, str]] = (),
) -> Panel:
    """`top` is the end of the axis; `lines` are (value, colour) of horizontal lines."""
    defaults: Json = {
        "unit": unit,
        "min": 0,
        "color": {"mode": "palette-classic"},
        "thresholds": steps(lines, "transparent"),
        "custom": {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 20 if stack else 5,
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"mode": "normal" if stack else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if lines else "off"},
        },
    }
    if top is not None:
        defaults["max"] = top
    body = {
        "type": "timeseries",
        "targets": targets(queries),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }
    return Panel(title, description, body, width, height)


def heatmap(title: str, description: str, unit: str, expr: str, *, width: int = 8, height: int = 8) -> Panel:
    """`expr` gives the increase of each bucket of a histogram, by le."""
    body = {
        "type": "heatmap",
        "targets": targets([Query(expr, "{{le}}")], "heatmap"),
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "scale": "exponential",
                "exponent": 0.5,
                "fill": "dark-orange",
                "steps": 64,
                "reverse": False,
            },
            "filterValues": {"le": 1e-9},
            "rowsFrame": {"layout": "auto"},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        },
    }
    return Panel(title, description, body, width, height)


def stat(
    title: str,
    description: str,
    unit: str,
    query: Query,
    thresholds: Sequence[tuple[float, str]] = (),
    *,
    base: str = "text",
    width: int = 6,
    height: int = 5,
) -> Panel:
    """The last value of each series, coloured by thresholds."""
    body = {
        "type": "stat",
        "targets": targets([query]),
        "fieldConfig": {
            "defaults": {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": steps(thresholds, base)},
            "overrides": [],
        },
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "graphMode": "none",
            "colorMode": "value",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
        },
    }
    return Panel(title, description, body, width, height)


def datasource_variable() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def label_variable(name: str, label: str, query: str) -> Json:
    """Any number of a label's values. "All" also takes in series that lack the label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "allValue": ".*",
        "hide": 0,
        "includeAll": True,
        "multi": True,
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
    }


def lay_out(rows: Sequence[Row]) -> list[Json]:
    """The panels with their places and ids, row by row, from left to right."""
    placed: list[Json] = []
    next_id = 1
    y = 0
    for row in rows:
        heading: Json = {
            "id": next_id,
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        placed.append(heading)
        into = heading["panels"] if row.collapsed else placed
        next_id += 1
        y += 1
        x = line_height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, line_height = 0, y + line_height, 0
            into.append(
                {
                    "id": next_id,
                    "title": panel.title,
                    "description": panel.description,
                    "datasource": DATASOURCE,
                    "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
                    **panel.body,
                }
            )
            next_id += 1
            x += panel.width
            line_height = max(line_height, panel.height)
        y += line_height
    return placed


def dashboard(title: str, description: str, variables: Sequence[Json], rows: Sequence[Row]) -> Json:
    return {
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [datasource_variable(), *variables]},
        "links": [
            {
                "title": "ilf-server",
                "type": "dashboards",
                "tags": [TAG],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": lay_out(rows),
    }


def panels_with_rows(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """(title of its row, panel) of every panel but the rows themselves."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield row, panel
            continue
        row = panel["title"]
        for inner in panel["panels"]:
            yield row, inner
