"""What work costs before it is done: time, memory and money on three kinds of machine.

The work is counted exactly (`shared.accounting`); what a machine makes of it is one rate and one floor per step. The
CPU's were measured with the programs of this workspace and are marked so. Those of the GPUs are estimates from data
sheets: they say how many hours and dollars to expect, not how fast a kernel is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.runs.progress import clock_text

SECONDS_PER_HOUR = 3600.0


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
    flops_per_second: float  # sustained in training, not the data sheet's peak
    seconds_per_step: float  # no step is faster: Python, and launching its kernels
    memory_bytes: float
    is_measured: bool


MACHINES = (
    # One float32 thread of a 2023 server core was measured at 27 GFLOP/s on models of a million parameters or fewer;
    # that a second one adds half as much is assumed.
    Machine("cpu", "two CPU cores", 4e10, 0.004, 8e9, is_measured=True),
    # bfloat16 peaks of 120 to 165 TFLOP/s, a third of it sustained on models this narrow.
    Machine("one_gpu", "one GPU of 24 GB", 4e13, 0.010, 24e9, is_measured=False),
    # 989 TFLOP/s, of which models below a billion parameters reach some 35 per cent.
    Machine("h100", "H100-class", 3.5e14, 0.010, 80e9, is_measured=False),
)


@dataclass(frozen=True)
class Work:
    """Steps of one kind: how many, what each computes, and what it holds in memory."""

    steps: int
    flops: float
    memory_bytes: float


@dataclass(frozen=True)
class Estimate:
    """What some work costs on one machine."""

    machine: Machine
    seconds: float
    memory_bytes: float  # of the hungriest part
    dollars: float

    @property
    def fits(self) -> bool:
        """Whether the hungriest part fits into the machine's memory."""
        return self.memory_bytes <= self.machine.memory_bytes

    def __str__(self) -> str:
        amount = f"${self.dollars:,.2f}" if self.dollars >= 0.005 else "under $0.01"
        basis = "measured rate" if self.machine.is_measured else "estimated"
        room = "" if self.fits else ", parts exceed its memory"
        return f"{duration(self.seconds)}, {amount} ({basis}{room})"


def estimate(work: Sequence[Work], machine: Machine, prices: Prices = US_PRICES) -> Estimate:
    """The cost of running the pieces one after another.

    >>> hour = [Work(steps=1, flops=4e10 * 3600, memory_bytes=1e9)]
    >>> str(estimate(hour, MACHINES[0], Prices(cpu_per_hour=2.0)))
    '1 h 0 min, $2.00 (measured rate)'
    """
    seconds = sum(
        max(piece.steps * machine.seconds_per_step, piece.flops / machine.flops_per_second) for piece in work
    )
    memory_bytes = max((piece.memory_bytes for piece in work), default=0.0)
    return Estimate(machine, seconds, memory_bytes, seconds / SECONDS_PER_HOUR * prices.of(machine))


def duration(seconds: float) -> str:
    """A time that is an estimate: no digits that would not hold.

    >>> [duration(value) for value in (4, 75, 5400, 400_000)]
    ['4 s', '1 min 15 s', '1 h 30 min', '4.6 days']
    """
    return clock_text(max(seconds, 1)) if seconds < 48 * SECONDS_PER_HOUR else f"{seconds / 86400:,.1f} days"
