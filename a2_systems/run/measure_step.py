"""Where time and memory of a training step go: forward, backward and optimizer, by size and context.

Each model is built, warmed up and timed at each length; one more step runs with every tensor counted, for the peak by
category and the timeline. Then the roofline of this machine, the operators of the last step, and what sums lose in each
format. `python -m shared.report.measure` draws a page of it.
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from a2_systems.configs import MEASURE_STEP, MeasureStep
from a2_systems.measure import accumulation, memory, roofline, timer, trace
from a2_systems.measure.publish import publish_once
from shared import accounting
from shared.device import pick_device, pick_precision, synchronize
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}
TIMELINE_POINTS = 400  # of each timeline: enough for a figure
SHOWN_OPERATORS = 10


def members(config: MeasureStep) -> list[tuple[str, ModelConfig, int]]:
    """What is measured: name, shape, length."""
    return [
        (f"{name}, {seq}", model, seq)
        for name, model in config.models
        for seq in config.seqs
        if seq <= model.context_length
    ]


def main(config: MeasureStep) -> None:
    """Publish the Runs `config.name`, and print its table."""
    device = pick_device(config.device)
    publish_once("measure_step", config, device, lambda: measured_rows(config, device))


def measured_rows(
    config: MeasureStep, device: torch.device
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """A row for each model and length with the timeline of its memory, then operators, machine and sums."""
    dtype = pick_precision(config.precision, device)
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[dict[str, Any]]] = {}
    print(f"{'run':<14} {'forward':>18} {'backward':>18} {'optimizer':>18} {'tokens/s':>10} {'peak':>10}")
    for name, model, seq in members(config):
        row, curve = measured(config, model, seq, device, dtype)
        rows.append({"run": name, "seq": seq, **row})
        curves[name] = curve
        phases = "".join(
            f" {1e3 * row[f'{phase}_seconds']:>8.2f} ± {1e3 * row[f'{phase}_std_seconds']:>4.2f} ms"
            for phase in timer.PHASES
        )
        peak = f"{row['peak_memory_bytes'] / 2**20:,.1f} MiB"
        print(f"{name:<14}{phases} {row['tokens_per_second']:>10,.0f} {peak:>10}", flush=True)
    rows += operator_rows(config, device, dtype)
    rows += machine_rows(device, dtype)
    return rows, curves


def measured(
    config: MeasureStep, model_config: ModelConfig, seq: int, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row of the table, and the timeline of one counted step."""
    parts = door("a1_basics")
    torch.manual_seed(config.seed)
    model = parts.build_model(model_config).to(device)
    optimizer = parts.get_adamw_cls()(model.parameters(), lr=1e-4)
    batch = random_batch(model_config, config.batch_size, seq, device)
    timings = timer.time_step(
        model, optimizer, cross_entropy, batch, dtype=dtype, warmups=config.warmups, repeats=config.repeats
    )
    step = timer.whole(timings)
    live = memory.LiveMemory()
    with live, memory.KeptBytes(model) as kept:
        live.own(model, optimizer)
        kept_bytes: list[int] = []

        def note(phase: str) -> None:
            live.phase = phase
            if phase == timer.BACKWARD:
                kept_bytes.append(kept.now_bytes)

        timer.time_step(
            model, optimizer, cross_entropy, batch, dtype=dtype, warmups=0, repeats=1, on_phase=note
        )
    synchronize(device)
    predicted = memory.predicted_bytes(model_config, config.batch_size, seq, dtype)
    flops = config.batch_size * seq * accounting.training_flops_per_token(model_config, seq)
    row: dict[str, Any] = {"parameters": accounting.parameters(model_config).total, "step_flops": flops}
    row |= {"dtype": str(dtype).removeprefix("torch."), "batch_size": config.batch_size}
    row |= {f"predicted_{category}_bytes": size for category, size in predicted.items()}
    row |= {f"at_peak_{category}_memory_bytes": size for category, size in live.at_peak.items()}
    row |= {"kept_memory_bytes": kept_bytes[0], "peak_memory_bytes": live.peak_bytes}
    for phase, timing in timings.items():
        row |= {f"{phase}_seconds": timing.mean, f"{phase}_std_seconds": timing.std}
    row |= {"step_seconds": step.mean, "tokens_per_second": config.batch_size * seq / step.mean}
    every = max(1, len(live.timeline) // TIMELINE_POINTS)
    curve = [
        {"event": index, "phase": phase, "live_memory_bytes": total}
        for index, (phase, total) in enumerate(live.timeline)
        if index % every == 0
    ]
    return row, curve


def random_batch(
    model: ModelConfig, batch_size: int, seq: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Inputs and targets: their values do not matter to time or memory."""
    drawn = torch.randint(0, model.vocab_size, (2, batch_size, seq), device=device)
    return drawn[0].clone(), drawn[1].clone()  # storages of their own


def operator_rows(config: MeasureStep, device: torch.device, dtype: torch.dtype) -> list[dict[str, Any]]:
    """The operators with the most time of their own, in the steps of the last member."""
    name, model_config, seq = members(config)[-1]
    parts = door("a1_basics")
    model = parts.build_model(model_config).to(device)
    optimizer = parts.get_adamw_cls()(model.parameters(), lr=1e-4)
    batch = random_batch(model_config, config.batch_size, seq, device)

    def steps(count: int) -> None:
        timer.time_step(model, optimizer, cross_entropy, batch, dtype=dtype, warmups=0, repeats=count)

    steps(config.warmups)
    with trace.traced() as found:
        steps(1)
    return [
        {"run": f"operator: {row.name}", "of": name, "calls": row.calls, "own_seconds": row.self_seconds}
        for row in trace.rows(found)[:SHOWN_OPERATORS]
    ]


def machine_rows(device: torch.device, dtype: torch.dtype) -> list[dict[str, Any]]:
    """What this machine reaches, what single operations reach of it, and what sums lose: rows of their own."""
    peaks = roofline.measured_peaks(device, dtype)
    rows: list[dict[str, Any]] = [
        {
            "run": "peaks",
            "peak_flops_per_second": peaks.flops_per_second,
            "peak_bytes_per_second": peaks.bytes_per_second,
        }
    ]
    rows += [
        {
            "run": f"operation: {each.name}",
            "flops": each.flops,
            "num_bytes": each.num_bytes,
            "operation_seconds": each.seconds,
        }
        for each in roofline.measured_operations(device, dtype)
    ]
    rows += [{"run": f"loop: {name}", "sum": total} for name, total in accumulation.the_four_loops().items()]
    terms = torch.rand(2**12, generator=torch.Generator().manual_seed(0))
    for kept_as in accumulation.FORMATS:
        name = str(kept_as).removeprefix("torch.")
        rows.append({"run": f"errors: {name}", "error_fractions": accumulation.running_error(terms, kept_as)})
    return rows


def plan(config: MeasureStep) -> Mapping[str, Any]:
    """What it will cost."""
    found = members(config)
    steps = config.warmups + config.repeats + 1
    flops = [
        config.batch_size * seq * accounting.training_flops_per_token(model, seq) for _, model, seq in found
    ]
    dtype = pick_precision(config.precision, pick_device(config.device))
    peaks = [
        sum(memory.predicted_bytes(model, config.batch_size, seq, dtype).values()) for _, model, seq in found
    ]
    return {
        "runs": len(found),
        "train_flops": steps * sum(flops),
        "largest_memory_bytes": max(peaks, default=0),
    }


if __name__ == "__main__":
    sys.exit(run_program(main, MEASURE_STEP, inputs=INPUTS, outputs=OUTPUTS))
