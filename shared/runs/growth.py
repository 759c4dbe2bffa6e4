"""Cost against size: how a piece of work grows when its input does, with an exponent that can be believed.

A growth names work that can be made at any size n, and the exponent that theory predicts. The work is done at sizes on
a logarithmic grid over three decades, several times each, in an order that is drawn anew for each repeat, so that a
machine that grows slower hits all sizes alike. The cost at a size is the least of its repeats: other work on a machine
only ever adds. What is counted is processor time, user and system, so waiting for a disk is left out; or the peak of
the memory that Python and numpy allocate.

The exponent k comes from the fit of `overhead + cost_per_unit * n ** k`, by least squares of the relative errors. So a
constant that hides growth at small sizes is told apart from growth, instead of making it look slower. Where the cost
does not even double over all sizes there is nothing to tell apart, and k is the slope of the straight line through
the logarithms.
"""

import math
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shared.errors import ConfigError
from shared.runs.bench import duration, without_garbage_collection
from shared.runs.progress import progress
from shared.store.disk import readable_bytes

Cost = Literal["seconds", "bytes"]

DECADES = 3  # what a growth must span: over less, n log n and n to the 1.3 look the same
SMALLEST_SECONDS = 0.005  # shorter work is repeated until it takes as long, and the mean is taken
TOLERANCE = 0.15  # what caches, and factors that grow more slowly than any power, may add
CONSTANT, LINEAR = 0.0, 1.0
N_LOG_N = 1.1  # its slope between a thousand and a million: 1 + 1 / log n
SHAPES = {CONSTANT: "constant", LINEAR: "linear", N_LOG_N: "n log n"}
_EXPONENTS = np.linspace(0.05, 4, 396)  # a hundredth apart


@dataclass(frozen=True)
class Growth:
    """Work at any size, and what theory says of its cost."""

    group: str  # growths that are drawn together
    name: str
    unit: str  # what n counts, such as "tokens"
    sizes: Sequence[int]
    prepare: Callable[[int, Path], Callable[[], Any]]  # size, empty folder -> the work, to be done many times
    expected: float  # the exponent that theory predicts
    why: str  # the theory, in a few words
    cost: Cost = "seconds"


@dataclass(frozen=True)
class Fit:
    """`overhead + cost_per_unit * n ** exponent`."""

    exponent: float
    error: float  # standard error of the exponent; infinite where the costs do not decide it
    overhead: float
    cost_per_unit: float

    def at(self, size: float) -> float:
        """The cost at a size."""
        return self.overhead + self.cost_per_unit * size**self.exponent


@dataclass(frozen=True)
class Grown:
    """What was measured of one growth."""

    growth: Growth
    repeats: int
    costs: tuple[float, ...]  # the least at each size
    medians: tuple[float, ...]  # how far above the least says how busy the machine was
    fit: Fit

    @property
    def verdict(self) -> str:
        """What the costs say of the theory."""
        difference = self.fit.exponent - self.growth.expected
        if difference - 2 * self.fit.error > TOLERANCE:
            return "grows faster"
        if difference + 2 * self.fit.error < -TOLERANCE:
            return "grows slower"
        return "as predicted" if 2 * self.fit.error <= 2 * TOLERANCE else "undecided"


def grid(low: int, high: int, steps: Sequence[int] = (1, 3)) -> tuple[int, ...]:
    """Sizes from low to high, the steps in each power of ten.

    >>> grid(3, 3000)
    (3, 10, 30, 100, 300, 1000, 3000)
    """
    powers = range(len(str(high)))
    return tuple(size for power in powers for step in steps if low <= (size := step * 10**power) <= high)


def fit_growth(sizes: Sequence[int], costs: Sequence[float]) -> Fit:
    """The exponent of costs at sizes, with its standard error; how is said at the top of this file.

    Raises:
        ConfigError: fewer than five sizes, less than three decades, or a cost that is not positive.
    """
    n, cost = np.asarray(sizes, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if len(n) < 5 or n.min() < 1 or n.max() < 0.999 * 10**DECADES * n.min():
        raise ConfigError(
            f"{len(n)} sizes from {n.min(initial=math.inf):,.0f} to {n.max(initial=0):,.0f} decide no exponent; "
            f"wanted five or more, over {DECADES} decades"
        )
    if not (cost > 0).all():
        raise ConfigError(f"a cost of {cost.min():g} has no logarithm; measure more work at once")
    if cost.max() < 2 * cost.min():
        return _straight(np.log(n), np.log(cost))
    exponent = min(_EXPONENTS, key=lambda k: _parts(n, cost, k)[2])
    for width in (1e-2, 1e-3, 1e-4):  # closer around the best of the coarse ones
        near = np.clip(exponent + np.linspace(-width, width, 21), _EXPONENTS[0], _EXPONENTS[-1])
        exponent = min(near, key=lambda k: _parts(n, cost, k)[2])
    overhead, per_unit, squares = _parts(n, cost, exponent)
    growing = n**exponent / cost
    slopes = [
        growing,
        per_unit * growing * np.log(n),
    ]  # of the relative cost, by cost_per_unit and by exponent
    slopes += [1 / cost] if overhead > 0 else []
    is_inside = _EXPONENTS[0] < exponent < _EXPONENTS[-1]
    error = _errors(np.stack(slopes, axis=1), squares)[1] if is_inside else math.inf
    return Fit(float(exponent), error, overhead, per_unit)


def _parts(n: np.ndarray, cost: np.ndarray, exponent: float) -> tuple[float, float, float]:
    """The best overhead (never negative) and cost per unit for an exponent, and the squares of relative errors."""
    columns = np.stack([1 / cost, n**exponent / cost], axis=1)
    (overhead, per_unit), *_ = np.linalg.lstsq(columns, np.ones(len(n)), rcond=None)
    if overhead < 0 or per_unit < 0:
        overhead, per_unit = 0.0, float(columns[:, 1].sum() / (columns[:, 1] ** 2).sum())
    errors = columns @ np.array([overhead, per_unit]) - 1
    return float(overhead), float(per_unit), float(errors @ errors)


def _straight(log_n: np.ndarray, log_cost: np.ndarray) -> Fit:
    columns = np.stack([np.ones(len(log_n)), log_n], axis=1)
    (height, exponent), *_ = np.linalg.lstsq(columns, log_cost, rcond=None)
    errors = columns @ np.array([height, exponent]) - log_cost
    error = _errors(columns, float(errors @ errors))[1]
    return Fit(float(exponent), error, 0.0, math.exp(height))


def _errors(slopes: np.ndarray, squares: float) -> list[float]:
    """Standard errors of a least squares fit; what the columns leave undecided becomes very large."""
    freedom = max(len(slopes) - slopes.shape[1], 1)
    scales = np.linalg.norm(slopes, axis=0)  # a cost per unit may be a billionth: columns of one length
    try:
        variances = np.diag(np.linalg.inv((slopes / scales).T @ (slopes / scales))) * squares / freedom
    except np.linalg.LinAlgError:
        return [math.inf] * len(scales)
    return (np.sqrt(variances) / scales).tolist()


def measure_growth(
    growth: Growth, repeats: int = 5, seed: int = 0, clock: Callable[[], float] = time.process_time
) -> Grown:
    """Do the work at every size, `repeats` times, and fit its exponent.

    Raises:
        ConfigError: sizes that decide no exponent.
    """
    fit_growth(growth.sizes, [1.0] * len(growth.sizes))  # refuses them before the work, not after
    draw = random.Random(seed)
    places = list(range(len(growth.sizes)))
    costs: list[list[float]] = [[] for _ in places]
    with tempfile.TemporaryDirectory(dir=quick_folder(), prefix="growth-") as root:
        works = []
        for place, size in enumerate(progress(growth.sizes, f"prepare {growth.name}", "sizes")):
            folder = Path(root, str(place))
            folder.mkdir()
            works.append(growth.prepare(size, folder))
        with without_garbage_collection():
            # Memory is the same each time but for the first, which fills caches.
            repeats = min(repeats, 2) if growth.cost == "bytes" else repeats
            for _ in progress(range(repeats), growth.name, "rounds"):
                for place in draw.sample(places, len(places)):
                    once = _peak_bytes if growth.cost == "bytes" else _seconds
                    costs[place].append(once(works[place], clock))
    least = tuple(min(row) for row in costs)
    medians = tuple(float(np.median(row)) for row in costs)
    return Grown(growth, repeats, least, medians, fit_growth(growth.sizes, least))


def quick_folder() -> Path | None:
    """A file system in memory where there is one: writing costs the same at all sizes, and no disk wears out."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() else None


def _seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    began, count = clock(), 0
    while True:
        work()
        count += 1
        spent = clock() - began
        if spent >= SMALLEST_SECONDS:
            return spent / count


def _peak_bytes(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return max(tracemalloc.get_traced_memory()[1] - before, 1)
    finally:
        tracemalloc.stop()


def cost_text(value: float, cost: Cost) -> str:
    """A cost for people."""
    return duration(value) if cost == "seconds" else readable_bytes(round(value))


def growth_rows(results: Sequence[Grown]) -> list[str]:
    """The results as a Markdown table."""
    rows = [
        "| work | n | cost grows as | predicted | verdict | overhead | cost at the largest n |",
        "|---|---|---|---|---|---|---|",
    ]
    for grown in results:
        growth, fit = grown.growth, grown.fit
        overhead = cost_text(fit.overhead, growth.cost) if fit.overhead else "–"
        span = f"{growth.sizes[0]:,} to {growth.sizes[-1]:,} {growth.unit}"
        found = (
            f"n^{round(fit.exponent, 2) + 0.0:.2f} ± {2 * fit.error:.2f}" if math.isfinite(fit.error) else "?"
        )
        shape = SHAPES.get(growth.expected, f"n^{growth.expected:g}")
        predicted = f"{shape}: {growth.why}"
        least, median = (cost_text(costs[-1], growth.cost) for costs in (grown.costs, grown.medians))
        name = f"{growth.group.lower()}: {growth.name}"
        rows.append(
            f"| {name} | {span} | {found} | {predicted} | {grown.verdict} | {overhead} | {least} (median {median}) |"
        )
    return rows
