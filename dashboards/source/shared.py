"""What the dashboards share: variables, PromQL in a few words, and panels that stand on more than one."""
from __future__ import annotations

import rules
from grafana import (
    Panel,
    Query,
    Row,
    heatmap,
    label_variable,
    stat,
    timeseries,
)

HERE = 'namespace=~"$namespace"'
MODEL = HERE + ', model=~"$model"'
POD = HERE + ', pod=~"$pod"'
POD_MODEL = POD + ', model=~"$model"'
OK = ', outcome="OK"'

NAMESPACE_VARIABLE = label_variable("namespace", "Namespace", "label_values(ilf_build_info, namespace)")
MODEL_VARIABLE = label_variable(
    "model", "Model", 'label_values(ilf_requests_total{namespace=~"$namespace"}, model)'
)
POD_VARIABLE = label_variable("pod", "Pod", 'label_values(ilf_build_info{namespace=~"$namespace"}, pod)')
DEVICE_VARIABLE = label_variable(
    "device", "Device", 'label_values(ilf_worker_info{namespace=~"$namespace"}, device)'
)
# One server: what a scrape's labels tell it by. Elsewhere than in Kubernetes only the last two may be there.
SERVER = "namespace, pod, job, instance"

BURN_LINES = [(1.0, "yellow"), (6.0, "orange"), (14.4, "red")]


def rate(metric: str, selector: str, by: str = "") -> str:
    """Per second, summed up but for the labels `by`."""
    keep = f" by ({by})" if by else ""
    return f"sum{keep} (rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(q: float, metric: str, selector: str, by: str = "") -> str:
    return f"histogram_quantile({q:g}, {rate(metric + '_bucket', selector, 'le, ' + by if by else 'le')})"


def mean(metric: str, selector: str, by: str) -> str:
    return f"{rate(metric + '_sum', selector, by)}\n/\n{rate(metric + '_count', selector, by)}"


def quantiles(metric: str, selector: str) -> list[Query]:
    return [Query(quantile(q, metric, selector), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)]


def heatmap_of(metric: str, selector: str) -> str:
    return f"sum by (le) (increase({metric}_bucket{{{selector}}}[$__rate_interval]))"


def latency_row(title: str, metric: str, selector: str, meaning: str) -> Row:
    return Row(
        title,
        [
            timeseries(f"{title}: p50, p90, p99", meaning, "s", quantiles(metric, selector)),
            timeseries(
                f"{title}: p90 by model",
                meaning,
                "s",
                [Query(quantile(0.9, metric, selector, "model"), "{{model}}")],
            ),
            heatmap(f"{title}: how many took how long", meaning, "s", heatmap_of(metric, selector)),
        ],
    )


def burn_panels(objective: rules.Objective, title: str, selector: str, legend: str, goal: str) -> list[Panel]:
    """How fast the error budget goes, and what is left of it."""
    burns = [
        Query(f"{objective.ratio(window)}{{{selector}}} / {objective.budget:g}", f"{window} {legend}")
        for window in rules.WINDOWS
    ]
    left = Query(f"1 - {objective.ratio('3d')}{{{selector}}} / {objective.budget:g}", legend)
    return [
        timeseries(
            f"{title}: burn rate",
            f"{goal} At 1 the budget lasts its 30 days. Alerts at 14.4 in 1h and 5m, 6 in 6h and 30m, 1 in 3d and 6h.",
            "none",
            burns,
            width=16,
            lines=BURN_LINES,
        ),
        stat(
            f"{title}: budget left",
            f"{goal} What the last 3 days have left of a budget of 3 days; below 0 it was overdrawn.",
            "percentunit",
            left,
            [(0.0, "orange"), (0.5, "green")],
            base="red",
            width=8,
            height=8,
        ),
    ]


AVAILABILITY_BURN = burn_panels(
    rules.CALLS,
    "Availability",
    HERE,
    "{{namespace}}/{{job}}",
    f"{rules.AVAILABILITY:.1%} of the calls that the server answers for end with OK.",
)


def busy(selector: str, width: int = 8) -> Panel:
    """`selector` fits the labels of ilf_worker_info."""
    seconds = (
        f"ilf_worker_info{{{selector}}}\n  * on ({SERVER}, worker) group_left ()\n"
        f"  rate(ilf_worker_busy_seconds_total{{{HERE}}}[$__rate_interval])"
    )
    return timeseries(
        "Worker busy ratio",
        "Share of the time that a worker, one a device, spent on its images.",
        "percentunit",
        [Query(f"sum by (pod, worker, device) (\n  {seconds}\n)", "{{pod}} worker {{worker}}: {{device}}")],
        width=width,
        top=1,
    )


def fill(selector: str, unit: str) -> str:
    """Rows or tokens of the steps, as a share of those that they could have had, each server with its own limit."""
    steps = rate(f"ilf_batch_{unit}_count", selector, SERVER)
    could = f"sum (\n  {steps}\n  * on ({SERVER})\n  ilf_max_batch_{unit}{{{HERE}}}\n)"
    return f"{rate(f'ilf_batch_{unit}_sum', selector)}\n/\n{could}"
