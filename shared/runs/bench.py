"""Speed against an alternative, measured so that the number can be believed.

A bench names a baseline and a candidate that do the same work. Their outputs are compared first: without agreement
there is no ratio. Then each round times baseline, candidate and baseline again, in an order that turns from round to
round, so that a machine that grows slower hits all three alike. The reported ratio is the median over rounds of
baseline time / candidate time (above 1: the candidate is faster) with its quartiles; the control, baseline against
itself, shows how far from 1 mere noise gets. Tables go between marks into `docs/benchmarks.md`.

`python -m shared.runs.bench` (`make bench`) runs every program `aN_name/run/bench_*.py` and `shared/*/bench_*.py`; one
of pairs ends with

    if __name__ == "__main__":
        sys.exit(run_benches("tokenizers", BENCHES))
"""

import datetime
import gc
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.marked import with_block
from shared.runs.config import did_you_mean
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.store.disk import replace_text

TABLES = Path("docs/benchmarks.md")
CONTROL_STRAYS = 1.15  # a baseline this far from itself was disturbed, and so was whatever stood between
_HEAD = """# Benchmarks

Measured by `make bench`, each table by one program on one machine. A ratio is the median over rounds of
baseline time / candidate time, with its quartiles; above 1 the candidate is faster. The control is the
baseline against itself in the same rounds: a ratio is worth as much as it stands out from that. Outputs
are compared first. How cost grows with size is measured alone: see the table of that name.
"""


@dataclass(frozen=True)
class Bench:
    """Two ways to do the same work.

    `compare(baseline output, candidate output)` raises AssertionError (as `assert_close` does) or returns
    False where they differ; it decides what "the same" means, exactly or within a tolerance that it states.
    """

    name: str
    baseline: Callable[[], Any]
    candidate: Callable[[], Any]
    compare: Callable[[Any, Any], Any]
    baseline_name: str = "baseline"
    candidate_name: str = "candidate"
    synchronize: Callable[[], None] | None = None  # waits for the device; `torch.cuda.synchronize` on a GPU
    work: float = 0.0  # units of work in one call, for a rate; 0 prints none
    work_unit: str = ""  # such as "MB" or "tokens"
    prepare: Callable[[], None] | None = (
        None  # what comes before each call and is not timed: emptying a cache
    )


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class BenchResult:
    """What came of one bench: either `difference`, and then no numbers, or the measured spreads."""

    bench: Bench
    rounds: int
    difference: str = ""
    ratio: Spread | None = None
    control: Spread | None = None
    baseline_seconds: Spread | None = None
    candidate_seconds: Spread | None = None

    @property
    def doubt(self) -> str:
        """Why the ratio is worth little; empty when it stands out from a control that is near 1.

        A control that strays to one side strays to the other on another day: it bounds noise both ways.
        """
        if self.ratio is None or self.control is None:
            return "not measured"
        if not 1 / CONTROL_STRAYS < self.control.median < CONTROL_STRAYS:
            return "control strays: measure again"
        noise = max(self.control.high, 1 / self.control.low)
        return "" if self.ratio.low > noise or self.ratio.high < 1 / noise else "within noise"


def measure(
    bench: Bench, rounds: int = 11, warmup_rounds: int = 1, clock: Callable[[], float] = time.perf_counter
) -> BenchResult:
    """Compare the outputs of one bench, then time it in interleaved rounds.

    Raises:
        ConfigError: fewer than three rounds, which give no spread.
    """
    if rounds < 3:
        raise ConfigError(f"{bench.name}: {rounds} rounds give no spread; wanted 3 or more")
    difference = _difference(bench)
    if difference:
        return BenchResult(bench, rounds, difference=difference)
    prepare = bench.prepare or (lambda: None)
    for _ in range(warmup_rounds):
        for call in (bench.baseline, bench.candidate):
            prepare()
            call()
    calls = [bench.baseline, bench.candidate, bench.baseline]
    times: list[list[float]] = [[], [], []]
    with without_garbage_collection():
        for number in progress(range(rounds), bench.name, "rounds"):
            for place in range(3):
                which = (number + place) % 3
                prepare()
                times[which].append(_time(calls[which], bench.synchronize, clock))
    first, candidate, second = times
    return BenchResult(
        bench,
        rounds,
        # The baseline of a round is the mean of its two calls: they lie on both sides of the candidate's.
        ratio=Spread.of([(a + c) / 2 / b for a, b, c in zip(first, candidate, second, strict=True)]),
        control=Spread.of([a / c for a, c in zip(first, second, strict=True)]),
        baseline_seconds=Spread.of([*first, *second]),
        candidate_seconds=Spread.of(candidate),
    )


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """As timeit does: whoever happens to trigger a collection must not pay for everybody's garbage."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _time(
    call: Callable[[], Any], synchronize: Callable[[], None] | None, clock: Callable[[], float]
) -> float:
    """Seconds of one call."""
    if synchronize is not None:
        synchronize()
    began = clock()
    call()
    if synchronize is not None:
        synchronize()
    return max(clock() - began, 1e-9)


def _difference(bench: Bench) -> str:
    """How the two outputs differ, in one line; empty when they agree."""
    outputs = []
    for call in (bench.baseline, bench.candidate):
        if bench.prepare is not None:
            bench.prepare()
        outputs.append(call())
    wanted, got = outputs
    try:
        verdict = bench.compare(wanted, got)
    except AssertionError as error:
        return str(error).strip().split("\n")[0] or "the comparison failed"
    if verdict is None or verdict is True:
        return ""
    return f"the comparison returned {verdict!r}"


def machine() -> str:
    """What the numbers depend on, in one line: processor, cores, GPU, versions."""
    import torch

    parts = [_processor(), f"{torch.get_num_threads()} torch threads"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts += [f"Python {platform.python_version()}", f"torch {torch.__version__}", platform.system()]
    return ", ".join(parts)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def heading(suite: str, command: str = "") -> list[str]:
    """The lines above a table: its title, the date, and what the numbers depend on."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [f"## {suite}", "", f"{today} · {machine()}" + (f" · `{command}`" if command else ""), ""]


def table(suite: str, results: Sequence[BenchResult], command: str = "") -> str:
    """The results of one suite as Markdown, with machine, versions and date."""
    rows = [
        *heading(suite, command),
        "| work | candidate | baseline | ratio | control | candidate time | rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [_row(result) for result in results]
    return "\n".join(rows)


def _row(result: BenchResult) -> str:
    bench = result.bench
    names = f"| {bench.name} | {bench.candidate_name} | {bench.baseline_name} |"
    if result.ratio is None or result.candidate_seconds is None:
        return f"{names} outputs differ: {result.difference.replace('|', '/')} | | | |"
    doubt = f", {result.doubt}" if result.doubt else ""
    took = duration(result.candidate_seconds.median)
    if bench.work:
        took += f" = {bench.work / result.candidate_seconds.median:,.4g} {bench.work_unit}/s"
    return f"{names} {result.ratio}{doubt} | {result.control} | {took} | {result.rounds} |"


def duration(seconds: float) -> str:
    """A time for people, three digits.

    >>> duration(0.0123), duration(0.0009999)
    ('12.3 ms', '1 ms')
    """
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 0.9995:  # else it would be a thousand of the next smaller unit
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def write_table(suite: str, text: str, path: Path = TABLES) -> None:
    """Put a suite's table between its marks, replacing what stood there, or at the end; the rest stays.

    Raises:
        ConfigError: one of the two marks is missing.
    """
    begin, end = f"<!-- bench {suite}: begin -->", f"<!-- bench {suite}: end -->"
    page = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    if begin not in page:
        page = page.rstrip("\n") + f"\n\n{begin}\n{end}\n"
    replace_text(path, with_block(page, begin, end, text.strip(), document=path))


def run_benches(
    suite: str, benches: Sequence[Bench], rounds: int = 11, path: Path = TABLES, command: str = ""
) -> int:
    """Measure a suite, print and store its table; 0, or 1 when outputs differed somewhere."""
    results = [measure(bench, rounds) for bench in benches]
    text = table(suite, results, command)
    print(text)
    write_table(suite, text, path)
    return int(any(result.difference for result in results))


@dataclass(frozen=True)
class BenchConfig:
    """Which bench programs to run."""

    # names such as a1_basics.run.bench_tokenizers, or parts of them; empty runs all
    only: tuple[str, ...] = ()
    stage: str = ""  # such as a1_basics: only its programs
    list: bool = False  # print the names and stop


def bench_programs(root: Path = Path()) -> list[str]:
    """The dotted names of all bench programs of the stages and of shared."""
    files = [*root.glob("a[0-9]_*/run/bench_*.py"), *root.glob("shared/*/bench_*.py")]
    return sorted(".".join(file.relative_to(root).with_suffix("").parts) for file in files)


def main(config: BenchConfig) -> int:
    """Run the chosen bench programs one after another; 1 when one of them failed."""
    known = [name for name in bench_programs() if name.startswith(config.stage)]
    chosen = [name for name in known if not config.only or any(part in name for part in config.only)]
    if config.only and not chosen:
        raise ConfigError(f"no bench program matches {config.only[0]!r}{did_you_mean(config.only[0], known)}")
    if config.list:
        print("\n".join(chosen) or "there are no bench programs yet")
        return 0
    failed = [name for name in chosen if subprocess.run([sys.executable, "-m", name], check=False).returncode]
    if failed:
        print(f"failed, or outputs differed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(run_program(main, {"all": BenchConfig()}))
