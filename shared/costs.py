"""What work costs before it is done: time, memory and money on three kinds of machine.

The work is counted (`shared.accounting`). What a machine makes of it is estimated, by two facts: matrices as narrow as
a small model's move more bytes than they compute with, so that the rate grows with the width until the machine's
arithmetic is the limit; and every operation has to be started, however little it does. A preset that was run, and whose
time was noted, says that time instead and that it was measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.runs.config import preset
from shared.runs.progress import duration

SECONDS_PER_HOUR = 3600.0
OPERATIONS_PER_LAYER = (
    150  # counted: kernels of a block forwards and backwards, and their part of the optimizer's
)
OPERATIONS_BESIDE = 50  # embedding, last norm, head, loss, clipping


@dataclass(frozen=True)
class Prices:
    """What an hour of each kind of machine costs, in dollars: enter your own."""

    cpu_per_hour: float = 0.10  # two cores
    one_gpu_per_hour: float = 0.60  # a card of 24 GB
    h100_per_hour: float = 3.00  # a card of 80 GB

    def of(self, machine: "Machine") -> float:
        """The price of an hour of this machine."""
        return float(getattr(self, f"{machine.name}_per_hour"))


US_PRICES = Prices()


@dataclass(frozen=True)
class Machine:
    """What a kind of machine makes of the work."""

    name: str
    label: str
    most_flops_per_second: float  # sustained in training at any width
    flops_per_second_and_width: float  # sustained for each unit of d_model, below that
    seconds_per_operation: float  # to start it
    memory_bytes: float
    cores: int  # for what no card does

    def flops_per_second(self, width: int) -> float:
        """The rate of a model of this width."""
        return min(self.most_flops_per_second, self.flops_per_second_and_width * width)


MACHINES = (
    # The training step of docs/benchmarks.md in float32: width 384, 10.7M parameters, 3,410 tokens/s. That is 0.24
    # TFLOP/s; wider models are not counted faster. A CPU with fast bfloat16 does it in half the time.
    Machine("cpu", "two CPU cores", 2.4e11, 2.4e11 / 384, 5e-6, 8e9, cores=2),
    # As the next one, by the ratio of their memory bandwidths, 1.0 and 3.35 TB/s: what narrow models wait for. A third
    # of the 120 to 165 TFLOP/s in bfloat16 that data sheets promise.
    Machine("one_gpu", "one GPU of 24 GB", 4e13, 3.6e10 / 3.35, 1e-5, 24e9, cores=8),
    # Calibrated on 30 to 40 minutes for 327,680,000 tokens at width 512 on one H100, the budget that the public
    # assignment gives for the preset one_gpu: 3.6e10 FLOP/s for each unit of width, 2 per cent of the card's peak.
    # That is simple code; ours, in bfloat16, should be no slower. At great width 40 per cent of 989 TFLOP/s.
    # Source: [cs336-2025] section 7; [llama3-2024] table 4.
    Machine("h100", "H100-class", 4e14, 3.6e10, 1e-5, 80e9, cores=16),
)


@dataclass(frozen=True)
class Work:
    """Work of one kind: how much a model computes and holds in memory, or what is done beside models."""

    memory_bytes: float
    flops: float = 0.0
    steps: int = 0
    microbatches: int = 1  # passes through the model in each step
    width: int = 1  # d_model
    num_layers: int = 0
    precision: str = "auto"  # as the job asks for it: a measured time holds for no other
    core_seconds: float = 0.0  # work for processor cores, on any kind of machine
    tasks: int = 1  # into which that falls

    def seconds(self, machine: Machine) -> float:
        """The time that a machine should take: starting operations, computing, and what the cores do.

        A card starts one operation while it computes another, so the sum is on the safe side.
        """
        operations = OPERATIONS_PER_LAYER * self.num_layers + OPERATIONS_BESIDE
        starting = self.steps * self.microbatches * operations * machine.seconds_per_operation
        computing = self.flops / machine.flops_per_second(self.width)
        return starting + computing + self.core_seconds / min(machine.cores, self.tasks)


@dataclass(frozen=True)
class Measured:
    """The time that a preset took where it was run, and what that was."""

    seconds: float
    machine: str  # the name of the kind
    where: str  # the machine in words


def measured_for(
    config: Any,
    runs: Mapping[str, Measured],
    presets: Mapping[str, Any],
    work_of: Callable[[Any], Sequence[Work]],
) -> Measured | None:
    """The run of the preset that does exactly the work of `config`; None: nobody has run that."""
    work = list(work_of(config))
    return next((run for name, run in runs.items() if list(work_of(preset(presets, name))) == work), None)


@dataclass(frozen=True)
class Estimate:
    """What some work costs on one machine."""

    machine: Machine
    seconds: float
    memory_bytes: float  # of the hungriest part
    dollars: float
    where: str = ""  # on what it was measured; empty: estimated

    @property
    def fits(self) -> bool:
        """Whether the hungriest part fits into the machine's memory."""
        return self.memory_bytes <= self.machine.memory_bytes

    def __str__(self) -> str:
        amount = f"${self.dollars:,.2f}" if self.dollars >= 0.005 else "under $0.01"
        basis = f"measured on {self.where}" if self.where else "estimated"
        room = "" if self.fits else ", parts exceed its memory"
        return f"{duration(self.seconds)}, {amount} ({basis}{room})"


def estimate(
    work: Sequence[Work], machine: Machine, prices: Prices = US_PRICES, measured: Measured | None = None
) -> Estimate:
    """The cost of doing the pieces one after another; what was measured counts on the machine where it was.

    >>> hour = [Work(core_seconds=7200, tasks=2, memory_bytes=1e9)]
    >>> str(estimate(hour, MACHINES[0], Prices(cpu_per_hour=2.0)))
    '1 h 0 min, $2.00 (estimated)'
    """
    memory_bytes = max((piece.memory_bytes for piece in work), default=0.0)
    seconds, where = sum(piece.seconds(machine) for piece in work), ""
    if measured is not None and measured.machine == machine.name:
        seconds, where = measured.seconds, measured.where
    return Estimate(machine, seconds, memory_bytes, seconds / SECONDS_PER_HOUR * prices.of(machine), where)


def tiers(work: Sequence[Work], prices: Prices, measured: Measured | None = None) -> dict[str, str]:
    """The cost on every kind of machine, in words, by the machine's label: the last lines of a `--dry-run`."""
    return {machine.label: str(estimate(work, machine, prices, measured)) for machine in MACHINES}
