"""One pod beside the others."""
from __future__ import annotations

import rules
from grafana import Json, Query, Row, dashboard, stat, timeseries
from shared import (
    MODEL_VARIABLE,
    NAMESPACE_VARIABLE,
    OK,
    POD,
    POD_MODEL,
    POD_VARIABLE,
    busy,
    mean,
    quantile,
    rate,
)


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
