"""The section on batch sizes: the same tokens in larger or smaller steps, then the same time, then the edge of memory.

Losses after so many tokens are the same on every machine and are drawn. What time and memory decide is measured: those
figures stand in slots, which the file beside the page fills in.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.report.markup import Html, tag, together
from shared.report.parts import curves_figure, short_count, table
from shared.report.plots import Curve
from shared.report.publish import cost_slot
from shared.runs.progress import clock_text
from shared.runs.runlog import VALIDATION_LOSS, series
from shared.store.disk import readable_bytes

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]
ONE_RATE = "one rate"  # the rule under which nothing but the batch changes
SLOT = "batch_size-at"  # + the size's place + the column


def batch_size_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """Loss against batch size at equal tokens, its way there, and a table of what time and memory say."""
    best = min(rows, key=lambda row: row["validation_loss_nats"])
    refused = [row for row in rows if row["status"] == "out of memory"]
    words = (
        f"For the same {short_count(best['train_tokens'])} tokens the best batch holds {best['batch_tokens']:,} "
        f"({best['rule']}): {best['validation_loss_nats']:.3f} nats per token, in {best['steps']:,} steps."
    )
    if refused:
        words += f" From {min(row['batch_tokens'] for row in refused):,} tokens on, a batch does not fit into memory."
    ways = ways_there(rows, curves)
    return together(
        tag("h2", "Batch size"),
        tag("p", words, class_="note"),
        curves_figure(
            folder / "by_batch",
            words,
            "Held-out loss at the end, by tokens in a batch; all see the same text.",
            curves=ends_by_rule(rows),
            log_x=True,
            x_label="tokens in a batch",
        ),
        curves_figure(
            folder / "by_tokens",
            "held-out loss of each batch size over the tokens read",
            "The way there at one learning rate: held-out loss by tokens read, each curve labelled by the tokens in "
            "its batch.",
            curves=ways,
            x_label="tokens read",
        )
        if ways
        else None,
        time_and_memory(rows),
    )


def ends_by_rule(rows: Rows) -> list[Curve]:
    """The loss at the end by batch size, for each rule of the rate; the size that both rules share was run once."""
    base = one_rate(rows)
    lines = []
    for rule in dict.fromkeys(row["rule"] for row in rows):
        sizes = {row["batch_tokens"] for row in rows if row["rule"] == rule}
        own = [row for row in rows if row["rule"] == rule]
        shared = [row for row in base if row["batch_tokens"] not in sizes]
        points = sorted((row["batch_tokens"], row["validation_loss_nats"]) for row in own + shared)
        lines.append(Curve(rule, [x for x, _ in points], [y for _, y in points], has_points=True))
    return lines


def one_rate(rows: Rows) -> list[Mapping[str, Any]]:
    """The runs that differ in the batch alone, from the smallest to the largest."""
    return sorted((row for row in rows if row["rule"] == ONE_RATE), key=lambda row: row["batch_tokens"])


def ways_there(rows: Rows, curves: Curves) -> list[Curve]:
    """Held-out loss over the tokens read, one hue from light to dark as batches grow."""
    found = []
    for row in one_rate(rows):
        steps, losses = series(curves[row["run"]], VALIDATION_LOSS)
        if any(map(math.isfinite, losses)):
            found.append((f"{row['batch_tokens']:,}", [step * row["batch_tokens"] for step in steps], losses))
    opacities = np.linspace(0.3, 1.0, len(found)) if len(found) > 1 else [1.0]
    return [
        Curve(label, x, y, has_points=True, colour=0, opacity=float(opacity))
        for (label, x, y), opacity in zip(found, opacities, strict=True)
    ]


def time_and_memory(rows: Rows) -> Html:
    """A line for each size: at equal tokens, at equal time, and the memory it held."""
    cells = [
        [
            f"{row['batch_tokens']:,}",
            "–" if math.isinf(row["validation_loss_nats"]) else f"{row['validation_loss_nats']:.3f}",
            *(cost_slot(f"{SLOT}-{place}-{column}") for column in ("seconds", "nats", "bytes")),
        ]
        for place, row in enumerate(one_rate(rows))
    ]
    heads = (
        "tokens in a batch",
        "nats at equal tokens",
        "time here",
        "nats at equal time",
        "peak memory",
    )
    note = tag(
        "p",
        "Equal time: the last held-out loss before the fastest of these runs had ended. ",
        cost_slot(f"{SLOT}-limit"),
        class_="note",
    )
    return together(table(heads, cells), note)


def measured_costs(rows: Rows, curves: Curves) -> dict[str, str]:
    """What fills the slots of this section, as far as it was measured."""
    runs = one_rate(rows)
    finished = [row["seconds"] for row in runs if row["status"] == "finished" and row.get("seconds")]
    costs: dict[str, str] = {}
    for place, row in enumerate(runs):
        if row.get("seconds"):
            costs[f"{SLOT}-{place}-seconds"] = clock_text(row["seconds"])
        if finished:
            reached = loss_after(curves[row["run"]], min(finished))
            costs[f"{SLOT}-{place}-nats"] = "–" if reached is None else f"{reached:.3f}"
        if row.get("peak_memory_bytes"):
            costs[f"{SLOT}-{place}-bytes"] = readable_bytes(round(row["peak_memory_bytes"]))
    limit = memory_limit(runs)
    if limit:
        costs[f"{SLOT}-limit"] = limit
    return costs


def loss_after(records: Sequence[Mapping[str, Any]], seconds: float) -> float | None:
    """The last held-out loss that a run had after so much time; None when it had none yet.

    An evaluation has no time of its own in the log: that of the last training record before it stands for it.
    """
    found, elapsed_seconds = None, math.inf
    for record in records:
        elapsed_seconds = record.get("elapsed_seconds", elapsed_seconds)
        if VALIDATION_LOSS in record and elapsed_seconds <= seconds:
            found = record[VALIDATION_LOSS]
    return found


def memory_limit(runs: Rows) -> str:
    """Where a batch would no longer fit, by a straight line through the peaks of the sizes that grew; empty if none."""
    known = [
        (row["batch_tokens"], row["peak_memory_bytes"])
        for row in runs
        if row["status"] == "finished" and row.get("peak_memory_bytes") and row.get("device_memory_bytes")
    ]
    growing = [later for earlier, later in pairwise(known) if later[1] > 1.02 * earlier[1]]
    if len(growing) < 2:
        return ""
    slope, constant = np.polyfit([size for size, _ in growing], [peak for _, peak in growing], 1)
    whole = runs[0]["device_memory_bytes"]
    if slope <= 0:
        return ""
    return (
        f"A batch of about {short_count(int((whole - constant) / slope))} tokens would fill this device's "
        f"{readable_bytes(round(whole))}: extrapolated by a straight line, {readable_bytes(round(slope))} a token."
    )
