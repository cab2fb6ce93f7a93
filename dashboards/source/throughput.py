"""How much is made, and how well steps are shared."""
from __future__ import annotations

from grafana import Json, Query, Row, dashboard, heatmap, timeseries
from shared import (
    MODEL,
    MODEL_VARIABLE,
    NAMESPACE_VARIABLE,
    fill,
    heatmap_of,
    mean,
    quantile,
    rate,
)


def throughput() -> Json:
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
                    "Rows of the steps, as a share of --max_batch_rows, and their tokens, of --max_batch_tokens.",
                    "percentunit",
                    [Query(fill(MODEL, unit), unit) for unit in ("rows", "tokens")],
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
    variables = [NAMESPACE_VARIABLE, MODEL_VARIABLE]
    return dashboard("ILF throughput and batching", "How much is made, and how well steps are shared.", variables, rows)
