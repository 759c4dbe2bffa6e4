"""What torch.compile brings: attention written out and whole models, as they are and compiled.

A compiler writes one kernel where torch starts several, so what waits for memory gains; it also takes its time, which
is a column. Where it cannot run (no C++ compiler, no Triton on a GPU) a row says `not checked`.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from a2_systems.configs import MEASURE_COMPILE, MeasureCompile
from a2_systems.measure import timer
from a2_systems.measure.attention import written_out
from a2_systems.measure.publish import publish_once
from shared import accounting
from shared.device import pick_device, pick_precision
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}
EAGER, COMPILED = "as it is", "compiled"
Row = dict[str, Any]


def main(config: MeasureCompile) -> None:
    """Publish the Runs `config.name`, and print its table."""
    device = pick_device(config.device)
    publish_once("measure_compile", config, device, lambda: (measured_rows(config, device), {}))


def measured_rows(config: MeasureCompile, device: torch.device) -> list[Row]:
    """Two rows for each piece of work."""
    reason = no_compiler(device)
    print(f"{'work':<32} {'forward':>11} {'backward':>11} {'optimizer':>11} {'compiling':>11}")
    rows = []
    for name, measure in works(config, device):
        for kind in (EAGER, COMPILED):
            torch.compiler.reset()
            row: Row = {"run": f"{name}, {kind}", "work": name, "kind": kind}
            if kind == COMPILED and reason:
                row["outcome"] = f"not checked: {reason}"
            else:
                row |= {"outcome": "measured"} | dict(measure(kind == COMPILED))
            rows.append(row)
            print(line(row), flush=True)
    return rows


def works(
    config: MeasureCompile, device: torch.device
) -> list[tuple[str, Callable[[bool], Mapping[str, float]]]]:
    """What is measured: a name, and a function of whether it is to be compiled."""
    dtype = pick_precision(config.precision, device)
    found: list[tuple[str, Callable[[bool], Mapping[str, float]]]] = []
    for head_dim, seq in config.attention:
        found.append(
            (
                f"attention, {head_dim} x {seq}",
                lambda is_compiled, d=head_dim, n=seq: attention(config, d, n, device, dtype, is_compiled),
            )
        )
    for name, model in config.models:
        found.append(
            (
                f"model {name}, {model.context_length}",
                lambda is_compiled, m=model: step(config, m, device, dtype, is_compiled),
            )
        )
    return found


def attention(
    config: MeasureCompile,
    head_dim: int,
    seq: int,
    device: torch.device,
    dtype: torch.dtype,
    is_compiled: bool,
) -> dict[str, float]:
    """Forward and backward of attention written out, causal."""
    generator = torch.Generator().manual_seed(config.seed)
    size = (config.batch_size, 1, seq, head_dim)
    q, k, v, pull = (torch.randn(size, generator=generator).to(device, dtype) for _ in range(4))
    leaves = [each.requires_grad_() for each in (q, k, v)]
    function = torch.compile(written_out) if is_compiled else written_out
    outputs: list[Tensor] = []
    phases = {
        timer.FORWARD: lambda: outputs.append(function(leaves[0], leaves[1], leaves[2], True)),
        timer.BACKWARD: lambda: torch.autograd.grad(outputs.pop(), leaves, pull),
    }

    def run(warmups: int, repeats: int) -> dict[str, timer.Timing]:
        return timer.time_phases(phases, device=device, warmups=warmups, repeats=repeats)

    return told(run, config, is_compiled)


def step(
    config: MeasureCompile,
    model_config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    is_compiled: bool,
) -> dict[str, float]:
    """A training step on random tokens; the optimizer stays as it is."""
    parts = door("a1_basics")
    torch.manual_seed(config.seed)
    model = parts.build_model(model_config).to(device)
    optimizer = parts.get_adamw_cls()(model.parameters(), lr=1e-4)
    shape = (config.batch_size, model_config.context_length)
    inputs, targets = (torch.randint(model_config.vocab_size, shape, device=device) for _ in range(2))
    called = torch.compile(model) if is_compiled else model

    def run(warmups: int, repeats: int) -> dict[str, timer.Timing]:
        return timer.time_step(
            called,  # type: ignore[arg-type]
            optimizer,
            cross_entropy,
            (inputs, targets),
            dtype=dtype,
            warmups=warmups,
            repeats=repeats,
        )

    return told(run, config, is_compiled)


def told(
    run: Callable[[int, int], dict[str, timer.Timing]], config: MeasureCompile, is_compiled: bool
) -> dict[str, float]:
    """Medians of the phases, and how long the first call took, in which compilers work."""
    began = time.perf_counter()
    run(0, 1)
    first_seconds = time.perf_counter() - began
    timings = run(config.warmups - 1, config.repeats)
    row = {f"{phase}_seconds": timing.spread.median for phase, timing in timings.items()}
    return row | ({"compiling_seconds": first_seconds} if is_compiled else {})


def no_compiler(device: torch.device) -> str:
    """Why nothing can be compiled here; empty where it can."""
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(8, device=device))
    except (
        Exception
    ) as error:  # a missing compiler, Triton or header; inductor has a class of its own for each
        return f"torch.compile does not work here: {str(error).strip().splitlines()[0][:80]}"
    return ""


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    if "forward_seconds" not in row:
        return f"{row['run']:<32} {row['outcome']}"
    times = [
        f"{1e3 * row[f'{phase}_seconds']:>8.2f} ms" if f"{phase}_seconds" in row else " " * 11
        for phase in timer.PHASES
    ]
    compiling = f"{row['compiling_seconds']:>9.1f} s" if "compiling_seconds" in row else ""
    return f"{row['run']:<32} {' '.join(times)} {compiling:>11}"


def plan(config: MeasureCompile) -> Mapping[str, Any]:
    """What it will cost."""
    steps = 2 * (config.warmups + config.repeats)
    flops = [
        config.batch_size
        * model.context_length
        * accounting.training_flops_per_token(model, model.context_length)
        for _, model in config.models
    ]
    return {"runs": 2 * (len(config.attention) + len(config.models)), "train_flops": steps * sum(flops)}


if __name__ == "__main__":
    sys.exit(run_program(main, MEASURE_COMPILE, inputs=INPUTS, outputs=OUTPUTS))
