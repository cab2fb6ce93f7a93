"""What is full."""
from __future__ import annotations

import rules
from grafana import NOT_PROVEN, Json, Query, Row, dashboard, timeseries
from shared import DEVICE_VARIABLE, HERE, NAMESPACE_VARIABLE, SERVER, busy, quantile, rate

DEVICES = HERE + ', device=~"$device"'
WORKERS = f"ilf_worker_info{{{DEVICES}}}"


def of_servers(expr: str) -> str:
    """Every program with a client library of Prometheus has process_*; this keeps those of ilf-server."""
    return f"sum by (pod) (\n  {expr}\n  and on ({SERVER}) ilf_build_info{{{HERE}}}\n)"


def devices() -> Row:
    used = f"max by (pod, device) (ilf_device_memory_used_bytes{{{DEVICES}}})"
    limit = f"max by (pod, device) (ilf_device_memory_limit_bytes{{{DEVICES}}})"
    return Row(
        "Device memory",
        [
            timeseries(
                "Device memory used",
                "In MB. Of a GPU by all processes, what LibTorch keeps for later included; of the CPU the server's own.",
                "decmbytes",
                [Query(f"{used}\n/ 1e6", "{{pod}} {{device}}")],
                width=12,
            ),
            timeseries(
                "Device memory fullness",
                "As a share of the GPU's memory, or of what the machine or the container's limit gives the CPU.",
                "percentunit",
                [Query(f"{used}\n/\n{limit}", "{{pod}} {{device}}")],
                top=1,
                width=12,
            ),
        ],
    )


def process() -> Row:
    cpu = f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])"
    return Row(
        "Process",
        [
            timeseries(
                "Process CPU",
                "Cores that the server uses, from its own metrics: all threads, workers on the CPU included.",
                "none",
                [Query(of_servers(cpu), "{{pod}}")],
            ),
            timeseries(
                "Resident memory",
                "In MB, from the server's own metrics. The memory limit counts more, such as the page cache in use.",
                "decmbytes",
                [Query(f"{of_servers(f'process_resident_memory_bytes{{{HERE}}}')}\n/ 1e6", "{{pod}}")],
            ),
            timeseries(
                "Open file descriptors",
                "As a share of those that may be open (ulimit -n). At 100% no new client can connect.",
                "percentunit",
                [
                    Query(
                        f"{of_servers(f'process_open_fds{{{HERE}}}')}\n/\n"
                        f"{of_servers(f'process_max_fds{{{HERE}}}')}",
                        "{{pod}}",
                    )
                ],
            ),
        ],
    )


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
                    width=6,
                ),
                timeseries(
                    "Queue fullness",
                    "Queued images, as a share of --max_queued_images.",
                    "percentunit",
                    [
                        Query(
                            f"sum by (pod) (ilf_queued_images{{{HERE}}})\n/\n"
                            f"sum by (pod) (ilf_max_queued_images{{{HERE}}})",
                            "{{pod}}",
                        )
                    ],
                    top=1,
                    width=6,
                ),
                timeseries(
                    "Queue wait, p90",
                    f"Time until a worker took an image up. IlfQueueSaturated looks at {rules.QUEUE_WAIT_SECONDS} s.",
                    "s",
                    [Query(quantile(0.9, "ilf_queue_wait_seconds", HERE, "pod"), "{{pod}}")],
                    lines=[(rules.QUEUE_WAIT_SECONDS, "orange")],
                    width=6,
                ),
                timeseries(
                    "Refused (RESOURCE_EXHAUSTED)",
                    "The queue was full, or a request ran out of memory.",
                    "reqps",
                    [Query(rate("ilf_requests_total", HERE + ', outcome="RESOURCE_EXHAUSTED"', "pod"), "{{pod}}")],
                    width=6,
                ),
            ],
        ),
        Row(
            "Workers",
            [
                busy(DEVICES, width=6),
                timeseries(
                    "Active images",
                    "Images that a worker has under way (at most --max_active_images).",
                    "none",
                    [
                        Query(
                            f"sum by (pod, worker) (\n  ilf_active_images{{{HERE}}}\n"
                            f"  and on ({SERVER}, worker) {WORKERS}\n)",
                            "{{pod}} worker {{worker}}",
                        )
                    ],
                    stack=True,
                    width=6,
                ),
                timeseries(
                    "Workers by device",
                    "Which device a worker has, as --device names it.",
                    "none",
                    [
                        Query(
                            f"sum by (pod, worker, device) ({WORKERS})",
                            "{{pod}} worker {{worker}}: {{device}}",
                        )
                    ],
                    stack=True,
                    width=6,
                ),
                timeseries(
                    "Open streams",
                    "Generate calls under way.",
                    "none",
                    [Query(f"sum by (pod) (ilf_open_streams{{{HERE}}})", "{{pod}}")],
                    stack=True,
                    width=6,
                ),
            ],
        ),
        devices(),
        process(),
        other_exporters(),
    ]
    return dashboard("ILF saturation", "What is full.", [NAMESPACE_VARIABLE, DEVICE_VARIABLE], rows)
