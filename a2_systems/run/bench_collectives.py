"""Time every way to sum a tensor over ranks, by size and number of ranks, and fit the latency and bandwidth behind it.

    python -m a2_systems.run.bench_collectives --preset tiny

One machine: NCCL where every rank has a GPU of its own, else gloo. All ways take turns in each round, so that a machine
that grows slower slows all alike; a round's time is that of the slowest rank. The table goes to docs/benchmarks.md, the
figure of the ring beside its model to docs/images/collectives.png.
"""

import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from a2_systems.parallel.collective_costs import COSTS, fitted_link
from a2_systems.parallel.collectives import ALL_REDUCES
from shared.device import synchronize
from shared.errors import ConfigError
from shared.parallel_costs import Link
from shared.report.plots import Curve, loss_curves
from shared.runs.bench import duration, heading, write_table
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in docs/benchmarks.md and a figure, no artifact
BYTES_PER_NUMBER = 4
Measured = dict[tuple[int, int, str], float]  # ranks, bytes, way -> seconds, the median over rounds


@dataclass(frozen=True)
class CollectiveSizes:
    """What to time."""

    tensor_bytes: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)  # float32
    ranks: tuple[int, ...] = (2, 4)  # processes, one run for each number
    rounds: int = 7  # measured; two more come before, to warm up
    folder: Path = Path("docs")  # gets benchmarks.md and images/collectives.png


PRESETS = {
    "toy": CollectiveSizes(tensor_bytes=(10_000, 100_000, 1_000_000, 10_000_000)),
    "tiny": CollectiveSizes(tensor_bytes=(1_000, 100_000), ranks=(2,), rounds=3),
    "one_gpu": CollectiveSizes(tensor_bytes=(10**6, 10**7, 10**8, 10**9), ranks=(2, 4, 6)),
}


def main(config: CollectiveSizes) -> None:
    """Measure, print and store the table and the figure.

    Raises:
        ConfigError: a single rank, which has nobody to talk to, or no round.
    """
    if min(config.ranks) < 2 or config.rounds < 1 or min(config.tensor_bytes) < BYTES_PER_NUMBER:
        raise ConfigError(
            f"ranks={config.ranks}, rounds={config.rounds}, tensor_bytes={config.tensor_bytes}: wanted two ranks or "
            f"more, a round or more, and tensors of {BYTES_PER_NUMBER} bytes or more"
        )
    measured: Measured = {}
    for ranks in config.ranks:
        measured |= measured_on(ranks, config)
    links = {ranks: link_of(measured, ranks, config) for ranks in config.ranks}
    text = "\n".join([*heading("collectives"), *table(measured, links, config)])
    print(text)
    write_table("collectives", text, config.folder / "benchmarks.md")
    print(figure(measured, links, config))


def measured_on(ranks: int, config: CollectiveSizes) -> Measured:
    """Median seconds of each way and size on so many processes of this machine."""
    has_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= ranks
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            be_rank,
            (ranks, folder, config, has_gpus),
            nprocs=ranks,
            start_method="spawn" if has_gpus else "fork",  # a fork is quick, and cannot use a GPU
        )
        return torch.load(Path(folder) / "measured", weights_only=True)


def be_rank(rank: int, ranks: int, folder: str, config: CollectiveSizes, has_gpus: bool) -> None:
    """One process: takes part in every all-reduce; the first one writes down the times."""
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    device = torch.device("cuda", rank) if has_gpus else torch.device("cpu")
    if has_gpus:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/meet", ranks)
    dist.init_process_group("nccl" if has_gpus else "gloo", store=store, rank=rank, world_size=ranks)
    found = {
        (ranks, size, way): seconds
        for size in config.tensor_bytes
        for way, seconds in times_of(size, config.rounds, device).items()
    }
    if rank == 0:
        torch.save(found, f"{folder}/measured")
    dist.barrier()
    dist.destroy_process_group()


def times_of(tensor_bytes: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Median over rounds of the slowest rank's seconds, for each way; the order turns from round to round."""
    tensor = torch.zeros(tensor_bytes // BYTES_PER_NUMBER, device=device)
    ways = list(ALL_REDUCES)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(-2, rounds):
        for place in range(len(ways)):
            way = ways[(place + round_) % len(ways)]
            dist.barrier()
            synchronize(device)
            began = time.perf_counter()
            ALL_REDUCES[way](tensor)
            synchronize(device)
            slowest = torch.tensor(time.perf_counter() - began, device=device)
            dist.all_reduce(slowest, dist.ReduceOp.MAX)
            if round_ >= 0:
                times[way].append(slowest.item())
    return {way: statistics.median(seconds) for way, seconds in times.items()}


def link_of(measured: Measured, ranks: int, config: CollectiveSizes) -> Link:
    """The latency and bandwidth that explain the ring's times."""
    return fitted_link(
        [(COSTS["ring"](size, ranks), measured[ranks, size, "ring"]) for size in config.tensor_bytes]
    )


def table(measured: Measured, links: dict[int, Link], config: CollectiveSizes) -> list[str]:
    """A row for each size and number of ranks, with the model's guess for the ring beside it."""
    ways = list(ALL_REDUCES)
    rows = [f"| ranks | float32 | {' | '.join(ways)} | ring, by the model |", "|" + "---|" * (len(ways) + 3)]
    for ranks in config.ranks:
        for size in config.tensor_bytes:
            cells = [duration(measured[ranks, size, way]) for way in ways]
            model = duration(COSTS["ring"](size, ranks).seconds(links[ranks]))
            rows.append(f"| {ranks} | {size / 1e6:g} MB | {' | '.join(cells)} | {model} |")
    fits = [
        f"{ranks} ranks: {duration(link.seconds_per_message)} and "
        + (f"{link.bytes_per_second / 1e9:.3g} GB/s" if link.bytes_per_second < math.inf else "no limit seen")
        for ranks, link in links.items()
    ]
    return [*rows, "", f"Latency and bandwidth that explain the ring best: {'; '.join(fits)}."]


def figure(measured: Measured, links: dict[int, Link], config: CollectiveSizes) -> Path:
    """Times by size on the largest number of ranks, both axes logarithmic."""
    ranks = max(config.ranks)
    megabytes = [size / 1e6 for size in config.tensor_bytes]
    curves = [
        Curve(
            way,
            megabytes,
            [1e3 * measured[ranks, size, way] for size in config.tensor_bytes],
            has_points=True,
        )
        for way in ALL_REDUCES
    ]
    model = [1e3 * COSTS["ring"](size, ranks).seconds(links[ranks]) for size in config.tensor_bytes]
    curves.append(Curve("model of the ring", megabytes, model))
    return loss_curves(
        config.folder / "images" / "collectives.png",
        curves,
        y_label=f"milliseconds of an all-reduce over {ranks} ranks",
        x_label="megabytes of float32",
        log_x=True,
        log_y=True,
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
