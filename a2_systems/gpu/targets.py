"""What the GPU bench counts, wants and prints; nothing here needs a GPU."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

OURS = "ours"
FLASH = "SDPA FLASH"
BACKWARD_PRODUCTS = 5  # scores again, dV, dP, dQ, dK; forward has 2
TARGET_MILLISECONDS = 8.0  # batch 1, 16 heads of 64, length 16,384, forward and backward


@dataclass(frozen=True)
class Shape:
    """One self-attention; bfloat16 and causal unless it says otherwise."""

    batch: int
    heads: int
    length: int
    head_dim: int
    is_causal: bool = True
    group: int = 1  # query heads that share a key/value head

    def __str__(self) -> str:
        heads = f"{self.heads}" if self.group == 1 else f"{self.heads}:{self.heads // self.group}"
        return f"{self.batch} x {heads} x {self.length:,} x {self.head_dim}" + " full" * (not self.is_causal)


RECORD = Shape(1, 16, 16_384, 64)
"""The shape whose time, not only its ratio, has a target."""


def bench_shapes() -> list[Shape]:
    """16,384 tokens of width 2,048, cut into longer and longer sequences; grouped-query heads; the record's shape."""
    shapes = [
        Shape(16_384 // length, 2_048 // head_dim, length, head_dim)
        for head_dim in (64, 128, 256)
        for length in (1_024, 4_096, 8_192, 16_384)
    ]
    return [*shapes, Shape(2, 32, 8_192, 128, group=4), RECORD]


def attention_flops(shape: Shape, with_backward: bool) -> int:
    """Floating-point operations of the products that the mask leaves; an addition and a product are two.

    >>> attention_flops(Shape(1, 1, 2, 16, is_causal=False), with_backward=False)
    256
    >>> attention_flops(Shape(1, 1, 2, 16), with_backward=False)  # 3 of 4 scores
    192
    """
    pairs = shape.length * (shape.length + 1) // 2 if shape.is_causal else shape.length**2
    products = 2 + BACKWARD_PRODUCTS * with_backward
    return 2 * products * shape.batch * shape.heads * pairs * shape.head_dim


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one contestant at one shape; none, and a reason, where it could not run."""

    shape: Shape
    with_backward: bool
    contestant: str
    milliseconds: tuple[float, ...]
    reason: str = ""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Low, median, high."""
        low, median, high = statistics.quantiles(self.milliseconds, n=4, method="inclusive")
        return low, median, high

    @property
    def tflops_per_second(self) -> float:
        """The rate at the median."""
        return attention_flops(self.shape, self.with_backward) / self.quartiles[1] / 1e9


@dataclass(frozen=True)
class Verdict:
    """One target and what was measured; `is_met` is None where nothing could be compared."""

    target: str
    measured: str
    is_met: bool | None

    def __str__(self) -> str:
        word = {True: "met", False: "MISSED", None: "not checked"}[self.is_met]
        return f"{word:>11}  {self.target}: {self.measured}"


def verdicts(timings: Sequence[Timing], is_hopper: bool) -> list[Verdict]:
    """The stated targets against what was measured: at least as fast as SDPA-FLASH, and the record's time."""
    measured = {(t.shape, t.contestant): t for t in timings if t.with_backward and t.milliseconds}
    found = []
    for shape in bench_shapes():
        if shape.group > 1 or shape.head_dim not in (64, 128) or not 4_096 <= shape.length <= 16_384:
            continue
        ours, theirs = measured.get((shape, OURS)), measured.get((shape, FLASH))
        target = f"{shape}, forward + backward, at least 1.0x {FLASH}"
        if ours is None or theirs is None:
            found.append(Verdict(target, "one of the two did not run", None))
            continue
        ratio = theirs.quartiles[1] / ours.quartiles[1]
        found.append(Verdict(target, f"{ratio:.2f}x", ratio >= 1.0))
    record = measured.get((RECORD, OURS))
    target = f"{RECORD}, forward + backward, at most {TARGET_MILLISECONDS:g} ms on an H100-class GPU"
    if record is None:
        found.append(Verdict(target, "did not run", None))
    else:
        median = record.quartiles[1]
        met = median <= TARGET_MILLISECONDS if is_hopper else None
        found.append(Verdict(target, f"{median:.2f} ms" + " on another GPU" * (not is_hopper), met))
    return found


def table(timings: Sequence[Timing]) -> str:
    """One row for each contestant at each shape."""
    lines = [
        f"{'shape':>22}  {'pass':<8}  {'contestant':<22}  {'median ms':>10}  {'quartiles':>17}  {'TFLOP/s':>7}  "
        f"{'against FLASH':>13}"
    ]
    flash = {(t.shape, t.with_backward): t for t in timings if t.contestant == FLASH and t.milliseconds}
    for timing in timings:
        start = f"{timing.shape!s:>22}  {'both' if timing.with_backward else 'forward':<8}  {timing.contestant:<22}"
        if not timing.milliseconds:
            lines.append(f"{start}  not checked: {timing.reason}")
            continue
        low, median, high = timing.quartiles
        base = flash.get((timing.shape, timing.with_backward))
        ratio = f"{base.quartiles[1] / median:.2f}x" if base else ""
        lines.append(
            f"{start}  {median:>10.3f}  {low:>7.3f} - {high:>7.3f}  {timing.tflops_per_second:>7.1f}  {ratio:>13}"
        )
    return "\n".join(lines)


def interleaved(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    milliseconds_of: Callable[[Callable[[], object]], float],
) -> dict[str, tuple[float, ...] | str]:
    """Times of each contestant, or why it cannot run; each round starts with another one.

    A GPU that grows hot slows down all alike, and nobody always runs behind the same neighbour.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    reasons: dict[str, str] = {}

    def milliseconds(name: str) -> float | None:
        """None where it fails, in whatever way: out of memory, refused by the compiler, too large for the device."""
        try:
            return milliseconds_of(contestants[name])
        except Exception as error:  # one contestant's failure is its row, not the end of the others
            lines = str(error).strip().splitlines()
            reasons[name] = f"{type(error).__name__}: {lines[0] if lines else ''}"[:120]
            return None

    for name in contestants:
        for _ in range(2):  # the first calls compile
            if name not in reasons:
                milliseconds(name)
    names = [name for name in contestants if name not in reasons]
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            if name not in reasons and (spent := milliseconds(name)) is not None:
                times[name].append(spent)
    return {name: reasons[name] if name in reasons else tuple(times[name]) for name in contestants}
