"""The dashboards: what is on each, and in which words. Metrics: docs/metrics.md; objectives: rules.py."""
from __future__ import annotations

import rules
from grafana import (
    NOT_PROVEN,
    Json,
    Panel,
    Query,
    Row,
    dashboard,
    heatmap,
    label_variable,
    number_variable,
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
ROWS_VARIABLE = number_variable(
    "max_batch_rows", "Row budget", "The servers' --max_batch_rows, which no metric tells", 32
)

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


def latency() -> Json:
    goal = f"{rules.LATENCY:.0%} of a model's requests take at most {rules.LATENCY_SECONDS} s."
    rows = [
        latency_row(
            "End to end",
            "ilf_request_seconds",
            MODEL + OK,
            "From submit to the end of a request that ended with OK.",
        ),
        latency_row(
            "Queue wait",
            "ilf_queue_wait_seconds",
            MODEL,
            "Time that an image waited until a worker took it up.",
        ),
        latency_row(
            "First preview",
            "ilf_first_preview_seconds",
            MODEL,
            "From submit to the first preview, of requests that asked for previews.",
        ),
        latency_row(
            "Step",
            "ilf_step_seconds",
            MODEL,
            "Time of one step of a batch: one pass of the transformer and the solver's update.",
        ),
        Row(
            "Objectives",
            [
                *burn_panels(rules.SPEED, "Latency", MODEL, "{{namespace}}/{{job}} {{model}}", goal),
                *AVAILABILITY_BURN,
            ],
        ),
    ]
    return dashboard("ILF latency", "How long users wait, and for what.", [NAMESPACE_VARIABLE, MODEL_VARIABLE], rows)


def throughput() -> Json:
    rows_per_step = mean("ilf_batch_rows", MODEL, "")
    saved = rate("ilf_block_evaluations_saved_total", MODEL, "model")
    plain = rate("ilf_plain_block_evaluations_total", MODEL, "model")
    rows = [
        Row(
            "Output",
            [
                timeseries(
                    "Images per second",
                    "Images made.",
                    "none",
                    [Query(rate("ilf_images_total", MODEL, "model"), "{{model}}")],
                    stack=True,
                    width=6,
                ),
                timeseries(
                    "Requests per second, by outcome",
                    "Generate calls that ended, refused ones included.",
                    "reqps",
                    [Query(rate("ilf_requests_total", MODEL, "outcome"), "{{outcome}}")],
                    stack=True,
                    width=6,
                ),
                timeseries(
                    "Steps per second",
                    "Steps of batches: each is one pass of the transformer over all its rows.",
                    "none",
                    [Query(rate("ilf_step_seconds_count", MODEL, "model"), "{{model}}")],
                    stack=True,
                    width=6,
                ),
                timeseries(
                    "Rows per second",
                    "Work done, whatever the batches look like.",
                    "none",
                    [Query(rate("ilf_batch_rows_sum", MODEL, "model"), "{{model}}")],
                    stack=True,
                    width=6,
                ),
            ],
        ),
        Row(
            "Batching",
            [
                timeseries(
                    "Rows per step",
                    "Transformer rows that share a step; guidance gives an image two.",
                    "none",
                    [
                        Query(mean("ilf_batch_rows", MODEL, "model"), "{{model}}, mean"),
                        Query(quantile(0.9, "ilf_batch_rows", MODEL, "model"), "{{model}}, p90"),
                    ],
                ),
                timeseries(
                    "Fill",
                    "Mean rows of a step, as a share of the row budget that is typed above.",
                    "percentunit",
                    [Query(f"(\n{rows_per_step}\n) / $max_batch_rows", "fill")],
                    top=1,
                ),
                heatmap("How many steps had how many rows", "Steps by their rows.", "none",
                        heatmap_of("ilf_batch_rows", MODEL)),
            ],
        ),
        Row(
            "Inner Loop Feedback",
            [
                timeseries(
                    "Feedback share",
                    "Of the rows, how many ran feedback.",
                    "percentunit",
                    [
                        Query(
                            f"{rate('ilf_feedback_rows_total', MODEL, 'model')}\n/\n"
                            f"{rate('ilf_batch_rows_sum', MODEL, 'model')}",
                            "{{model}}",
                        )
                    ],
                    top=1,
                ),
                timeseries(
                    "Block evaluations saved",
                    "Of the blocks that plain sampling of the same quality would have run for the finished images.",
                    "percentunit",
                    [Query(f"{saved}\n/\n{plain}", "{{model}}")],
                    top=1,
                ),
                timeseries(
                    "Block evaluations per second",
                    "Of finished images: run, and saved by feedback.",
                    "none",
                    [
                        Query(rate("ilf_block_evaluations_total", MODEL), "run"),
                        Query(rate("ilf_block_evaluations_saved_total", MODEL), "saved"),
                    ],
                    stack=True,
                ),
            ],
        ),
        Row(
            "Previews",
            [
                timeseries(
                    "Previews per second",
                    "Skipped: the one before was still being encoded. Dropped: a newer one overtook it.",
                    "none",
                    [
                        Query(rate("ilf_previews_sent_total", MODEL), "sent"),
                        Query(rate("ilf_previews_skipped_total", MODEL), "skipped"),
                        Query(rate("ilf_previews_dropped_total", MODEL), "dropped"),
                    ],
                    width=24,
                )
            ],
        ),
    ]
    variables = [NAMESPACE_VARIABLE, MODEL_VARIABLE, ROWS_VARIABLE]
    return dashboard("ILF throughput and batching", "How much is made, and how well steps are shared.", variables, rows)


def other_exporters() -> Row:
    container = HERE + ', container="ilf-server"'
    gpu = HERE + ', pod!=""'
    return Row(
        f"From DCGM and the kubelet ({NOT_PROVEN}: none was there to query)",
        [
            timeseries(
                "GPU utilisation",
                "DCGM exporter, with the pods' labels.",
                "percent",
                [Query(f"avg by (pod, gpu) (DCGM_FI_DEV_GPU_UTIL{{{gpu}}})", "{{pod}} GPU {{gpu}}")],
                top=100,
            ),
            timeseries(
                "GPU memory used",
                "DCGM exporter.",
                "decmbytes",
                [Query(f"sum by (pod, gpu) (DCGM_FI_DEV_FB_USED{{{gpu}}})", "{{pod}} GPU {{gpu}}")],
            ),
            timeseries(
                "Container CPU",
                "Cores, from the kubelet's cAdvisor.",
                "none",
                [Query(rate("container_cpu_usage_seconds_total", container, "pod"), "{{pod}}")],
            ),
            timeseries(
                "Container memory",
                "Working set, from the kubelet's cAdvisor; what the memory limit is held against.",
                "bytes",
                [Query(f"sum by (pod) (container_memory_working_set_bytes{{{container}}})", "{{pod}}")],
            ),
        ],
        collapsed=True,
    )


def busy(selector: str) -> Panel:
    return timeseries(
        "Worker busy ratio",
        "Share of the time that a worker, one a device, spent on its images.",
        "percentunit",
        [Query(rate("ilf_worker_busy_seconds_total", selector, "pod, worker"), "{{pod}} worker {{worker}}")],
        top=1,
    )


def saturation() -> Json:
    rows = [
        Row(
            "Queue",
            [
                timeseries(
                    "Queued images",
                    "Images that wait for a worker. A full queue refuses (--max_queued_images).",
                    "none",
                    [Query(f"sum by (pod) (ilf_queued_images{{{HERE}}})", "{{pod}}")],
                    stack=True,
                ),
                timeseries(
                    "Queue wait, p90",
                    f"Time until a worker took an image up. IlfQueueSaturated looks at {rules.QUEUE_WAIT_SECONDS} s.",
                    "s",
                    [Query(quantile(0.9, "ilf_queue_wait_seconds", HERE, "pod"), "{{pod}}")],
                    lines=[(rules.QUEUE_WAIT_SECONDS, "orange")],
                ),
                timeseries(
                    "Refused (RESOURCE_EXHAUSTED)",
                    "The queue was full, or a request ran out of memory.",
                    "reqps",
                    [Query(rate("ilf_requests_total", HERE + ', outcome="RESOURCE_EXHAUSTED"', "pod"), "{{pod}}")],
                ),
            ],
        ),
        Row(
            "Workers",
            [
                busy(HERE),
                timeseries(
                    "Active images",
                    "Images that a worker has under way (at most --max_active_images).",
                    "none",
                    [
                        Query(
                            f"sum by (pod, worker) (ilf_active_images{{{HERE}}})",
                            "{{pod}} worker {{worker}}",
                        )
                    ],
                    stack=True,
                ),
                timeseries(
                    "Open streams",
                    "Generate calls under way.",
                    "none",
                    [Query(f"sum by (pod) (ilf_open_streams{{{HERE}}})", "{{pod}}")],
                    stack=True,
                ),
            ],
        ),
        other_exporters(),
    ]
    return dashboard("ILF saturation", "What is full.", [NAMESPACE_VARIABLE], rows)


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


def pods() -> Json:
    rows = [
        Row(
            "State",
            [
                stat(
                    "Takes requests",
                    "1 while readiness is SERVING.",
                    "none",
                    Query(f"ilf_serving{{{POD}}}", "{{pod}}"),
                    [(1.0, "green")],
                    base="red",
                    width=8,
                ),
                stat(
                    "Pods by version",
                    "ilf_build_info.",
                    "none",
                    Query(f"count by (version) (ilf_build_info{{{POD}}})", "{{version}}"),
                    width=8,
                ),
                stat(
                    "TLS certificate ends in",
                    "Only of pods with TLS.",
                    "s",
                    Query(f"ilf_tls_certificate_expiration_timestamp_seconds{{{POD}}} - time()", "{{pod}}"),
                    [(rules.CERTIFICATE_DAYS * 24 * 3600.0, "green")],
                    base="red",
                    width=8,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                timeseries(
                    "Requests per second",
                    "Generate calls that ended.",
                    "reqps",
                    [Query(rate("ilf_requests_total", POD_MODEL, "pod"), "{{pod}}")],
                ),
                timeseries(
                    "Not OK",
                    "By outcome.",
                    "reqps",
                    [
                        Query(
                            rate("ilf_requests_total", POD_MODEL + ', outcome!="OK"', "pod, outcome"),
                            "{{pod}} {{outcome}}",
                        )
                    ],
                ),
                timeseries(
                    "End to end, p90",
                    "Of requests that ended with OK.",
                    "s",
                    [Query(quantile(0.9, "ilf_request_seconds", POD_MODEL + OK, "pod"), "{{pod}}")],
                ),
            ],
        ),
        Row(
            "Work",
            [
                busy(POD),
                timeseries(
                    "Images",
                    "Waiting, and under way.",
                    "none",
                    [
                        Query(f"sum by (pod) (ilf_queued_images{{{POD}}})", "{{pod}} queued"),
                        Query(f"sum by (pod) (ilf_active_images{{{POD}}})", "{{pod}} active"),
                    ],
                ),
                timeseries(
                    "Step, p90",
                    "Time of one step of a batch.",
                    "s",
                    [
                        Query(
                            quantile(0.9, "ilf_step_seconds", POD_MODEL, "pod, worker"),
                            "{{pod}} worker {{worker}}",
                        )
                    ],
                ),
                timeseries(
                    "Rows per step",
                    "Mean.",
                    "none",
                    [Query(mean("ilf_batch_rows", POD_MODEL, "pod"), "{{pod}}")],
                ),
                timeseries(
                    "Images per second",
                    "Images made.",
                    "none",
                    [Query(rate("ilf_images_total", POD_MODEL, "pod"), "{{pod}}")],
                ),
                timeseries(
                    "Failed steps",
                    "By code.",
                    "none",
                    [Query(rate("ilf_step_failures_total", POD, "pod, code"), "{{pod}} {{code}}")],
                ),
            ],
        ),
    ]
    variables = [NAMESPACE_VARIABLE, POD_VARIABLE, MODEL_VARIABLE]
    return dashboard("ILF pods", "One pod beside the others.", variables, rows)


# File name without .json -> what makes it.
DASHBOARDS = {
    "latency": latency,
    "throughput": throughput,
    "saturation": saturation,
    "errors": errors,
    "pods": pods,
}
