"""How long users wait, and for what."""
from __future__ import annotations

import rules
from grafana import Json, Row, dashboard
from shared import (
    AVAILABILITY_BURN,
    MODEL,
    MODEL_VARIABLE,
    NAMESPACE_VARIABLE,
    OK,
    burn_panels,
    latency_row,
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
            "Preparation",
            "ilf_preparation_seconds",
            MODEL,
            "Time to encode the prompts of images that were taken up together; next to nothing for class labels.",
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
