"""Every way of spreading a training over these ranks, side by side: tokens/s, waiting, and peak bytes by category.

Start the ranks with a launcher: python -m shared.runs.launch --launch torchrun --ranks 2
a2_systems.run.measure_strategies --preset toy. All strategies train the same model on the same random tokens; `single`
is rank 0 with the whole batch, while the others rest.
"""

import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from a2_systems.configs import MEASURE_STRATEGIES, MeasureStrategies
from a2_systems.measure.memory import CATEGORIES, LiveMemory
from a2_systems.measure.publish import Measurement
from a2_systems.measure.timer import BACKWARD, time_calls
from a2_systems.measure.waiting import waiting
from a2_systems.parallel.parallelize import OnOneRank, parallelize
from shared import accounting
from shared.device import autocast, pick_device, pick_precision
from shared.doors.resolve import door
from shared.doors.systems import TAKERS, Strategy, StrategyName
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.ranks import Ranks, joined
from shared.store.disk import readable_bytes

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}
SINGLE: StrategyName = "single"
Row = dict[str, Any]


class SortedMemory(LiveMemory):
    """Knows at every moment of the backward pass which bytes are gradients: of shards no hook tells."""

    def __init__(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        super().__init__()
        self._owner = model, optimizer
        self.own(model, optimizer)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if self.phase == BACKWARD:
            self.sort(*self._owner)
        return result


def main(config: MeasureStrategies) -> None:
    """Publish the Runs `config.name`, and print its table; on every rank.

    Raises:
        ConfigError: a batch that cannot be shared out evenly, or one rank where several are to be compared.
    """
    device = pick_device(config.device)
    with joined(device.type) as ranks:
        if config.batch_size % ranks.num_ranks or (ranks.num_ranks == 1 and config.strategies != (SINGLE,)):
            raise ConfigError(
                f"{ranks.num_ranks} ranks and a batch of {config.batch_size}: wanted two ranks or more (start them "
                "with python -m shared.runs.launch --launch torchrun --ranks 2) and a batch that is a multiple of them"
            )
        if device.type == "cuda":
            device = torch.device("cuda", torch.cuda.current_device())
        measurement = Measurement("measure_strategies", config, device, ranks.num_ranks)
        if ranks.largest(int(ranks.is_lead and measurement.was_made())):
            return
        rows = [measured(config, name, ranks, device) for name in config.strategies]
        if ranks.is_lead:
            measurement.publish(rows, {})
            Console().print(table(rows))


def measured(config: MeasureStrategies, name: StrategyName, ranks: Ranks, device: torch.device) -> Row:
    """A row for one strategy, the same on every rank."""
    takes_part = ranks.is_lead or name != SINGLE
    mine = measured_here(config, name, ranks, device) if takes_part else {}
    of_all: list[Row] = [mine]
    if ranks.num_ranks > 1:
        of_all = [{} for _ in range(ranks.num_ranks)]
        dist.all_gather_object(of_all, mine)
    taking_part = [each for each in of_all if each]
    step_seconds = max(each["step_seconds"] for each in taking_part)  # a step ends when its last rank does
    tokens = config.batch_size * config.model.context_length
    row: Row = {"run": name, "ranks": len(taking_part), "batch_size": config.batch_size}
    row |= {
        "parameters": accounting.parameters(config.model).total,
        "tokens_per_second": tokens / step_seconds,
    }
    row["step_seconds"] = step_seconds
    waits = [each["exposed_seconds"] for each in taking_part]
    if None not in waits:
        row["exposed_seconds"] = max(waits)
    for key in ("peak_memory_bytes", *(f"at_peak_{category}_memory_bytes" for category in CATEGORIES)):
        row[f"ranks_{key}"] = [each[key] for each in taking_part]
    return row


def measured_here(config: MeasureStrategies, name: StrategyName, ranks: Ranks, device: torch.device) -> Row:
    """What this rank finds: the medians of its steps, and one step with every tensor counted."""
    parts = door("a1_basics")
    torch.manual_seed(config.seed)
    model = parts.build_model(config.model).to(device)
    optimizer = parts.get_adamw_cls()(model.parameters(), lr=1e-4)
    tokens = torch.randint(config.model.vocab_size, (config.batch_size, config.model.context_length + 1))
    rows = slice(None) if name == SINGLE else slice(ranks.rank, None, ranks.num_ranks)
    inputs, targets = (part[rows].clone().to(device) for part in (tokens[:, :-1], tokens[:, 1:]))
    spread = spread_out(config, name, model, optimizer)
    dtype = pick_precision(config.precision, device)
    exposed: list[float | None] = []

    def step() -> None:
        with waiting() as waited:
            one_step(spread, inputs, targets, dtype)
        exposed.append(waited.seconds if device.type == "cpu" else spread.exposed_seconds)

    timing = time_calls(step, device=device, warmups=config.warmups, repeats=config.repeats)
    live = SortedMemory(spread.model, spread.optimizer)

    def note(phase: str) -> None:
        live.phase = phase

    with live:
        one_step(spread, inputs, targets, dtype, note)
    waits = [each for each in exposed[config.warmups :] if each is not None]
    row: Row = {"step_seconds": timing.spread.median, "exposed_seconds": median(waits) if waits else None}
    row["peak_memory_bytes"] = live.peak_bytes
    return row | {f"at_peak_{category}_memory_bytes": size for category, size in live.at_peak.items()}


def spread_out(
    config: MeasureStrategies, name: StrategyName, model: nn.Module, optimizer: optim.Optimizer
) -> Any:
    """The model and its optimizer over all ranks; on this one alone for `single`, which a group would refuse."""
    if name == SINGLE:
        return OnOneRank(model, optimizer)
    strategy = Strategy(name, config.bucket_size_mb) if name in TAKERS["bucket_size_mb"] else Strategy(name)
    return parallelize(model, optimizer, strategy)


def one_step(
    spread: Any,  # one of stage 2: forward and backward are called one by one, so that phases can be told apart
    inputs: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> None:
    """A training step of this rank's rows."""
    on_phase("forward")
    with autocast(inputs.device, dtype):
        logits = spread.model(inputs)
    loss = cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
    del logits
    on_phase(BACKWARD)
    loss.backward()
    spread.finish_backward()
    on_phase("optimizer")
    spread.optimizer.step()
    spread.optimizer.zero_grad(set_to_none=True)


def table(rows: list[Row]) -> Table:
    """What people look at; bytes are of the rank that needs the most."""
    found = Table("strategy", "ranks", "tokens/s", "waiting", *CATEGORIES, "peak of a rank", box=None)
    for row in rows:
        peaks = row["ranks_peak_memory_bytes"]
        most = peaks.index(max(peaks))
        sizes = [row[f"ranks_at_peak_{category}_memory_bytes"][most] for category in CATEGORIES]
        waits = f"{row['exposed_seconds'] / row['step_seconds']:.0%}" if "exposed_seconds" in row else ""
        found.add_row(
            row["run"],
            str(row["ranks"]),
            f"{row['tokens_per_second']:,.0f}",
            waits,
            *(readable_bytes(size) for size in sizes),
            readable_bytes(peaks[most]),
        )
    return found


def plan(config: MeasureStrategies) -> Mapping[str, Any]:
    """What it will cost."""
    steps = len(config.strategies) * (config.warmups + config.repeats + 1)
    seq = config.model.context_length
    flops = config.batch_size * seq * accounting.training_flops_per_token(config.model, seq)
    return {"strategies": len(config.strategies), "train_flops": steps * flops}


if __name__ == "__main__":
    sys.exit(run_program(main, MEASURE_STRATEGIES, inputs=INPUTS, outputs=OUTPUTS))
