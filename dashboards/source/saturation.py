"""What is full."""
from __future__ import annotations

import rules
from grafana import NOT_PROVEN, Json, Query, Row, dashboard, timeseries
from shared import HERE, NAMESPACE_VARIABLE, busy, quantile, rate


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
