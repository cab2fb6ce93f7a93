"""What fails, and whose fault it is."""
from __future__ import annotations

import rules
from grafana import Json, Panel, Query, Row, dashboard, timeseries
from shared import (
    AVAILABILITY_BURN,
    HERE,
    MODEL,
    MODEL_VARIABLE,
    NAMESPACE_VARIABLE,
    rate,
)


def outcome(title: str, description: str, outcomes: str) -> Panel:
    selector = f'{MODEL}, outcome=~"{outcomes}"'
    query = Query(rate("ilf_requests_total", selector, "model, outcome"), "{{model}} {{outcome}}")
    return timeseries(title, description, "reqps", [query])


def errors() -> Json:
    failed = HERE + ', grpc_code!="OK"'
    rows = [
        Row(
            "Objective",
            [
                *AVAILABILITY_BURN,
                timeseries(
                    "Share of calls that failed",
                    "Of the calls that the server answers for, in 5 minutes.",
                    "percentunit",
                    [Query(f"{rules.CALLS.ratio('5m')}{{{HERE}}}", "{{namespace}}/{{job}}")],
                    width=12,
                ),
                timeseries(
                    "Alerts that fire",
                    "Of those in rules/ilf-server.yaml.",
                    "none",
                    [
                        Query(
                            "sum by (alertname, severity) "
                            f'(ALERTS{{alertname=~"Ilf.+", alertstate="firing", {HERE}}})',
                            "{{alertname}} ({{severity}})",
                        )
                    ],
                    width=12,
                    stack=True,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                outcome(
                    "Overload",
                    "Queue full or out of memory, deadlines that cannot be met, servers that load or stop.",
                    "RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED|UNAVAILABLE",
                ),
                outcome("Cancelled", "By the client, or because it did not read.", "CANCELLED"),
                outcome(
                    "Mistakes of clients",
                    "Refused values, models that are not there, request ids in use.",
                    "INVALID_ARGUMENT|NOT_FOUND|FAILED_PRECONDITION|ALREADY_EXISTS",
                ),
                timeseries(
                    "RPCs that did not end with OK",
                    "Of every method; codes that did not occur are left out.",
                    "reqps",
                    [
                        Query(
                            rate("grpc_server_handled_total", failed, "grpc_method, grpc_code") + " > 0",
                            "{{grpc_method}} {{grpc_code}}",
                        )
                    ],
                    width=24,
                ),
            ],
        ),
        Row(
            "Devices and streams",
            [
                timeseries(
                    "Failed steps",
                    "A failed step ends the requests of its own images; out of memory it is tried again in halves.",
                    "none",
                    [
                        Query(
                            rate("ilf_step_failures_total", HERE, "pod, worker, code"),
                            "{{pod}} worker {{worker}} {{code}}",
                        )
                    ],
                    width=12,
                ),
                timeseries(
                    "Stalled streams",
                    "Cancelled because the client accepted nothing for write_stall_timeout.",
                    "none",
                    [Query(rate("ilf_streams_stalled_total", MODEL, "model"), "{{model}}")],
                    width=12,
                ),
            ],
        ),
    ]
    description = "What fails, and whose fault it is."
    return dashboard("ILF errors and cancellations", description, [NAMESPACE_VARIABLE, MODEL_VARIABLE], rows)
