"""The objectives, and the recording rules and alerts that follow from them.

rules/ilf-server.yaml is made of this file by scripts/make_dashboards.py. Change an objective here, make the files
again, and rules and panels agree.
"""
from __future__ import annotations

import dataclasses

# Of the calls that the server is answerable for, so many end with OK.
AVAILABILITY = 0.995
# Of a model's requests that end with OK, so many take no longer than LATENCY_SECONDS, from submit to the last image.
# It must be a bucket of ilf_request_seconds (docs/metrics.md).
LATENCY = 0.95
LATENCY_SECONDS = 10
# As the chart's autoscaling.keda.queueWaitSeconds.
QUEUE_WAIT_SECONDS = 5
CERTIFICATE_DAYS = 3

# What the server is answerable for. Left out are a client's own mistakes (INVALID_ARGUMENT, NOT_FOUND, ...), which
# would water the share of errors down, and what a client cancelled.
SERVER_ERRORS = ("DataLoss", "DeadlineExceeded", "Internal", "ResourceExhausted", "Unavailable", "Unknown")

# (times the budget, long window, short window, severity): at 14.4 times the budget 2% of a 30-day budget are gone in
# an hour, at 6 times 5% in six hours, at 1 time 10% in three days. The short window ends the alert soon after the
# cause has gone.
BURN_RATES = ((14.4, "1h", "5m", "critical"), (6, "6h", "30m", "critical"), (1, "3d", "6h", "warning"))
WINDOWS = ("5m", "30m", "1h", "6h", "3d")

RUNBOOK = "docs/runbook.md"


@dataclasses.dataclass(frozen=True)
class Recording:
    name: str
    expr: str


@dataclasses.dataclass(frozen=True)
class Alert:
    """`hold` is how long expr must be true; empty: once is enough."""

    name: str
    expr: str
    hold: str
    severity: str
    summary: str


@dataclasses.dataclass(frozen=True)
class Objective:
    """Names of the recorded series of an objective; `by` are the labels that they keep."""

    alert: str
    by: tuple[str, ...]
    all: str
    bad: str
    goal: float

    @property
    def budget(self) -> float:
        return round(1 - self.goal, 6)

    @property
    def level(self) -> str:
        return "_".join(self.by)

    def rate(self, which: str) -> str:
        return f"{self.level}:{which}:rate5m"

    def ratio(self, window: str) -> str:
        return f"{self.level}:{self.bad}:ratio_rate{window}"


CALLS = Objective("IlfErrorBudget", ("namespace", "job"), "ilf_calls", "ilf_calls_failed", AVAILABILITY)
SPEED = Objective("IlfLatencyBudget", ("namespace", "job", "model"), "ilf_requests", "ilf_requests_slow", LATENCY)


def calls(codes: str) -> str:
    selector = (
        'grpc_service="ilf.v1.ImageGenerationService", grpc_method="Generate", ' + f'grpc_code=~"{codes}"'
    )
    return f"sum by (namespace, job) (\n  rate(grpc_server_handled_total{{{selector}}}[5m])\n)"


def requests(series: str, more: str = "") -> str:
    return f'sum by (namespace, job, model) (rate({series}{{outcome="OK"{more}}}[5m]))'


def ratios(objective: Objective) -> list[Recording]:
    """The share of what was bad, over each window. The longer ones are sums of recorded rates, which weigh every
    request alike and read one series instead of one for each pod and code."""
    bad, everything = objective.rate(objective.bad), objective.rate(objective.all)
    found = [Recording(objective.ratio("5m"), f"{bad}\n/\n{everything}")]
    for window in WINDOWS[1:]:
        expr = f"sum_over_time({bad}[{window}])\n/\nsum_over_time({everything}[{window}])"
        found.append(Recording(objective.ratio(window), expr))
    return found


def recordings() -> dict[str, list[Recording]]:
    """Group -> rules. Within a group they are evaluated in order."""
    errors = "|".join(SERVER_ERRORS)
    # Prometheus 3 writes le="10" as le="10.0".
    fast = requests("ilf_request_seconds_bucket", f', le=~"{LATENCY_SECONDS}([.]0)?"')
    return {
        "ilf-availability": [
            Recording(CALLS.rate(CALLS.all), calls("OK|" + errors)),
            Recording(CALLS.rate(CALLS.bad), calls(errors)),
            *ratios(CALLS),
        ],
        "ilf-latency": [
            Recording(SPEED.rate(SPEED.all), requests("ilf_request_seconds_count")),
            Recording(SPEED.rate(SPEED.bad), f"{SPEED.rate(SPEED.all)}\n-\n{fast}"),
            *ratios(SPEED),
        ],
    }


def burn_alerts(objective: Objective, what: str) -> list[Alert]:
    found = []
    for (factor, long, short, severity), pace in zip(BURN_RATES, ("BurnsFast", "Burns", "BurnsSlowly")):
        limit = f"{factor} * {objective.budget}"
        expr = f"{objective.ratio(long)} > {limit}\nand\n{objective.ratio(short)} > {limit}"
        summary = f"{{{{ $value | humanizePercentage }}}} of {what} in {long}; the budget is {objective.budget:.1%}"
        found.append(Alert(objective.alert + pace, expr, "", severity, summary))
    return found


def alerts() -> dict[str, list[Alert]]:
    """Group -> alerts. Each has its heading in docs/runbook.md."""
    where = "{{ $labels.namespace }}/{{ $labels.job }}"
    pod = "{{ $labels.namespace }}/{{ $labels.pod }}"
    wait = "histogram_quantile(0.9, sum by (namespace, job, le) (rate(ilf_queue_wait_seconds_bucket[5m])))"
    failures = "sum by (namespace, job, pod, worker, code)"
    return {
        "ilf-burn": [
            *burn_alerts(CALLS, f"the calls of {where} failed"),
            *burn_alerts(SPEED, f"{where}'s requests for {{{{ $labels.model }}}} took over {LATENCY_SECONDS} s"),
        ],
        "ilf-causes": [
            Alert("IlfAbsent", "absent(ilf_build_info)", "10m", "critical", "no ilf-server is scraped"),
            Alert(
                "IlfTargetDown",
                # Every target of a job that had an ilf-server in the last day, whatever the job is called.
                "up == 0\nand on (namespace, job)\n"
                "group by (namespace, job) (last_over_time(ilf_build_info[1d]))",
                "5m",
                "warning",
                f"{pod} cannot be scraped",
            ),
            Alert(
                "IlfNoReadyDevice",
                "sum by (namespace, job) (ilf_serving) == 0",
                "5m",
                "critical",
                f"no pod of {where} takes requests",
            ),
            Alert("IlfPodNotServing", "ilf_serving == 0", "15m", "warning", f"{pod} takes no requests"),
            Alert(
                "IlfDeviceFailing",
                # The counter appears with the first failure, which increase() does not see.
                f"{failures} (increase(ilf_step_failures_total[10m])) > 0\nor\n"
                f"{failures} (ilf_step_failures_total unless ilf_step_failures_total offset 10m) > 0",
                "",
                "warning",
                f"steps fail on worker {{{{ $labels.worker }}}} of {pod}: {{{{ $labels.code }}}}",
            ),
            Alert(
                "IlfQueueSaturated",
                f"{wait} > {QUEUE_WAIT_SECONDS}",
                "10m",
                "warning",
                f"a tenth of the images of {where} wait longer than {{{{ $value | humanizeDuration }}}}",
            ),
            Alert(
                "IlfTlsCertificateExpires",
                f"ilf_tls_certificate_expiration_timestamp_seconds - time() < {CERTIFICATE_DAYS} * 24 * 3600",
                "10m",
                "warning",
                f"the certificate of {pod} ends in {{{{ $value | humanizeDuration }}}}",
            ),
        ],
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _block(key: str, expr: str) -> list[str]:
    if "\n" not in expr and len(expr) < 90:
        return [f"        {key}: {_quoted(expr)}"]
    return [f"        {key}: |-"] + [f"          {line}" for line in expr.split("\n")]


def to_yaml(runbook: str = RUNBOOK) -> str:
    """The rules as a Prometheus rule file. `runbook` is where the runbook is: a path or an address."""
    lines = ["# Made by scripts/make_dashboards.py of dashboards/source/rules.py.", "groups:"]
    for group, recorded in recordings().items():
        lines += [f"  - name: {group}", "    rules:"]
        for rule in recorded:
            lines += [f"      - record: {rule.name}", *_block("expr", rule.expr)]
    for group, raised in alerts().items():
        lines += [f"  - name: {group}", "    rules:"]
        for alert in raised:
            lines += [f"      - alert: {alert.name}", *_block("expr", alert.expr)]
            lines += [f"        for: {alert.hold}"] if alert.hold else []
            lines += ["        labels:", f"          severity: {alert.severity}", "        annotations:"]
            lines += [f"          summary: {_quoted(alert.summary)}"]
            lines += [f"          runbook_url: {runbook}#{alert.name.lower()}"]
    return "\n".join(lines) + "\n"
