"""Attention by width of a head and length: time forward and backward, and what is kept for the backward pass.

Written out, by tiles, torch's own (its kernel named) and, on a GPU, the Triton kernels. A size whose memory does not
suffice is a row that says so. `python -m shared.report.measure --attention NAME` shows the table on a page.
"""

import sys
from collections.abc import Mapping
from itertools import product
from typing import Any

from a2_systems.configs import MEASURE_ATTENTION, MeasureAttention
from a2_systems.measure.attention import (
    WRITTEN_OUT,
    Shape,
    free_bytes,
    implementations,
    measured,
    predicted_peak_bytes,
)
from a2_systems.measure.publish import publish_once
from shared.device import pick_device, pick_precision
from shared.runs.program import run_program
from shared.store.disk import readable_bytes

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}


def main(config: MeasureAttention) -> None:
    """Publish the Runs `config.name`, and print its table."""
    device = pick_device(config.device)
    publish_once("measure_attention", config, device, lambda: (measured_rows(config), {}))


def measured_rows(config: MeasureAttention) -> list[dict[str, Any]]:
    """A row for each implementation and size."""
    device = pick_device(config.device)
    print(f"{'attention':<30} {'forward':>11} {'backward':>11} {'kept':>11} {'predicted':>11}")
    rows = []
    for shape in shapes(config):
        for name, attention in implementations(config.is_causal, device).items():
            row = measured(
                name,
                attention,
                shape,
                device,
                warmups=config.warmups,
                repeats=config.repeats,
                memory_bytes=int(config.memory_gb * 1e9) or free_bytes(device),
            )
            rows.append({"run": f"{name}, {shape.head_dim} x {shape.seq}", **row})
            print(line(rows[-1]), flush=True)
    return rows


def shapes(config: MeasureAttention) -> list[Shape]:
    """What is measured: narrow before wide, short before long."""
    dtype = pick_precision(config.precision, pick_device(config.device))
    return [
        Shape(config.batch_size, 1, seq, head_dim, dtype, config.is_causal)
        for head_dim, seq in product(config.head_dims, config.seqs)
    ]


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    predicted = readable_bytes(row["predicted_kept_bytes"])
    if "forward_seconds" not in row:
        return f"{row['run']:<30} {row['outcome']:>23} {'':>11} {predicted:>11}"
    name = f"{row['run']} {row['backend']}".strip()
    return (
        f"{name:<30} {1e3 * row['forward_seconds']:>8.2f} ms {1e3 * row['backward_seconds']:>8.2f} ms "
        f"{readable_bytes(row['kept_memory_bytes']):>11} {predicted:>11}"
    )


def plan(config: MeasureAttention) -> Mapping[str, Any]:
    """What it will cost."""
    found = shapes(config)
    forward_flops = sum(4 * shape.batch * shape.seq**2 * shape.head_dim for shape in found)
    calls = 3 * (config.warmups + config.repeats)
    return {
        "sizes": len(found),
        "attention_flops": calls * 3.5 * forward_flops,  # the backward pass takes 2.5 times the forward's
        "largest_memory_bytes": max(predicted_peak_bytes(WRITTEN_OUT, shape) for shape in found),
    }


if __name__ == "__main__":
    sys.exit(run_program(main, MEASURE_ATTENTION, inputs=INPUTS, outputs=OUTPUTS))
