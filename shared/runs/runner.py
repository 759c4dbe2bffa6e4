"""The one training loop: steps, log, checkpoints, resume, pre-emption, divergence.

    result = run(run_dir=..., state=state, step=step, batches=batch_of_step, num_steps=1000)

`step(state, batch) -> (state, metrics)` is the caller's; `batches(step_index)` is a pure function of the
step index, and `State` saves everything else that a step changes. With these two promises a run that is
killed anywhere and started again gives the same weights and the same log, bit for bit, as one that was left
alone (measured keys aside, see `VOLATILE_KEYS`). The same call starts, resumes and, when all steps are
done, just returns.

On several ranks each runs this loop. Rank 0 writes; all resume at its step and stop together. Metrics and
evaluation must be the same on every rank, for they decide how the run goes on.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from shared.errors import ArtifactError, ConfigError, DivergenceError
from shared.runs import ranks
from shared.runs.checkpoints import Checkpoint, Checkpoints, RankedState, State, read_checkpoint
from shared.runs.config import differences, read_json, write_json
from shared.runs.guard import Guard, Watch
from shared.runs.progress import progress as progress_of
from shared.runs.ranks import Ranks
from shared.runs.runlog import VALIDATION_LOSS, VOLATILE_KEYS, RunLog, SilentLog
from shared.runs.stopping import StopRequest, single_writer, stop_requests
from shared.store.disk import is_disk_full

S = TypeVar("S", bound=State)
B = TypeVar("B")
Metrics = dict[str, float]
"""Numbers of one step, the unit in each key: loss_nats, learning_rate, gradient_norm, ..."""

DEFAULT_GUARD = Guard()
_WAYS_OUT = (
    "Try a lower learning rate, a longer warmup, a smaller clipping norm or float32, under another --name; "
    "the same command would take the same way again"
)

__all__ = ["VALIDATION_LOSS", "VOLATILE_KEYS", "Cadence", "Guard", "Metrics", "RunResult", "State", "run"]


@dataclass(frozen=True)
class Cadence:
    """How often, in steps; 0 means only at the end."""

    log_steps: int = 10
    evaluate_steps: int = 100
    checkpoint_steps: int = 100
    keep: int = 2  # newest checkpoints kept


@dataclass(frozen=True)
class RunResult(Generic[S]):
    """A finished run."""

    state: S
    step: int
    metrics: Metrics  # of the last step and the last evaluation
    log: Path
    train_seconds: float  # in steps, evaluation and saving, over all sessions; without steps lost to a kill
    resumed_step: int | None  # where this session took up the run; None when it began it
    num_spikes: int


def run(
    *,
    run_dir: Path,
    state: S,
    step: Callable[[S, B], tuple[S, Mapping[str, float]]],
    batches: Callable[[int], B],
    num_steps: int,
    every: Cadence = Cadence(),
    evaluate: Callable[[S], Mapping[str, float]] | None = None,
    guard: Guard | None = DEFAULT_GUARD,
    config: Mapping[str, Any] | None = None,
    tokens_per_step: int = 0,
    flops_per_step: float = 0,
    peak_flops_per_second: float = 0,
    mirror: str | None = None,
    progress: bool = True,
    label: str = "train",
) -> RunResult[S]:
    """Run `num_steps` steps, from the newest whole checkpoint if there is one; the finished state and its
    last numbers.

    `evaluate` runs at its cadence and after the last step, and may not change the state. `config` (from
    `to_dict`) is saved beside the log, and a run directory that holds another config is refused. The tokens
    and FLOPs of a step give `tokens_per_second` and, when the machine's peak is known, `mfu_fraction`.

    Raises:
        ConfigError: another process writes this run, the directory belongs to another config, or ranks were started
            that share nothing.
        DivergenceError: the guard stopped the run; the message names the step, the values and what to try.
        Preempted, KeyboardInterrupt: asked to stop; the state was saved first.
    """
    _require_shared_work()
    here = ranks.current()
    with single_writer(run_dir) if here.is_lead else nullcontext(), stop_requests() as request:
        if config is not None and here.is_lead:
            _claim(run_dir, config)
        loop = _Loop(
            run_dir=run_dir,
            state=state,
            step_fn=step,
            batches=batches,
            num_steps=num_steps,
            every=every,
            evaluate=evaluate,
            watch=Watch(guard),
            log=RunLog(run_dir / "log.jsonl", mirror) if here.is_lead else SilentLog(run_dir / "log.jsonl"),
            checkpoints=Checkpoints(run_dir, every.keep),
            request=request,
            meter=_Meter(tokens_per_step, flops_per_step, peak_flops_per_second),
            ranks=here,
        )
        try:
            loop.resume()
            return loop.go(label if progress and here.is_lead else None)
        finally:
            loop.log.close()


@dataclass
class _Loop(Generic[S, B]):
    run_dir: Path
    state: S
    step_fn: Callable[[S, B], tuple[S, Mapping[str, float]]]
    batches: Callable[[int], B]
    num_steps: int
    every: Cadence
    evaluate: Callable[[S], Mapping[str, float]] | None
    watch: Watch
    log: RunLog | SilentLog
    checkpoints: Checkpoints
    request: StopRequest
    meter: "_Meter"
    ranks: Ranks
    step: int = 0  # steps done
    saved_step: int | None = None
    resumed_step: int | None = None
    metrics: Metrics = field(default_factory=dict)

    def resume(self) -> None:
        """Take up the newest whole checkpoint, and forget what the log says of later steps."""
        if self.ranks.is_lead:
            self.checkpoints.sweep()
        found = self._newest_checkpoint()
        if found is None:
            self.log.cut(0, step=0)
        else:
            self.state.load(found.path)
            memory = found.runner
            self.step = self.saved_step = self.resumed_step = found.step
            self.watch = Watch(self.watch.guard, memory["guard"])
            self.metrics = dict(memory["metrics"])
            self.meter.train_seconds = memory["train_seconds"]
            missing_bytes = self.log.cut(memory["log_bytes"], step=found.step)
            if missing_bytes:
                raise ArtifactError(
                    f"{self.log.path} lacks {missing_bytes} bytes that were there at step {found.step}; "
                    f"restore it, or remove {self.run_dir} to begin this run again"
                )
            if self.step < self.num_steps and self.ranks.is_lead:
                _say(f"{self.run_dir}: going on from step {self.step} of {self.num_steps}")
        self._note_session("started", resumed_step=self.resumed_step)

    def _newest_checkpoint(self) -> Checkpoint | None:
        """Rank 0 looks which one is whole; the others read the same."""
        found = self.checkpoints.find() if self.ranks.is_lead else None
        step = self.ranks.largest(found.step if found is not None else -1)
        return found if self.ranks.is_lead or step < 0 else read_checkpoint(self.checkpoints.path_of(step))

    def go(self, label: str | None) -> RunResult[S]:
        """The loop itself."""
        with progress_of(self.num_steps, label or "", "steps", start=self.step) as bar:
            self._stop_if_asked()
            while self.step < self.num_steps:
                self._one_step()
                if self._is_due(self.every.evaluate_steps) and self.evaluate is not None:
                    self._evaluate()
                if self._is_due(self.every.checkpoint_steps):
                    self._save()
                self._stop_if_asked()
                if label is not None:
                    bar.advance(note=self._note())
        self._note_session("finished")
        return RunResult(
            state=self.state,
            step=self.step,
            metrics=self.metrics,
            log=self.log.path,
            train_seconds=self.meter.train_seconds,
            resumed_step=self.resumed_step,
            num_spikes=self.watch.num_spikes,
        )

    def _one_step(self) -> None:
        with self.meter.step():
            self.state, given = self.step_fn(self.state, self.batches(self.step))
            metrics = {key: float(value) for key, value in given.items()}  # waits for the device
        self.step += 1
        self.metrics |= metrics
        event = self._judge(metrics)
        if event is not None:
            self.log.append(self.step, event)
        if self._is_due(self.every.log_steps):
            self.log.append(self.step, metrics | self.meter.rates())

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        began = time.perf_counter()
        metrics = {key: float(value) for key, value in self.evaluate(self.state).items()}
        elapsed = time.perf_counter() - began
        self.meter.train_seconds += elapsed
        self.metrics |= metrics
        self.log.append(self.step, metrics | {"evaluate_seconds": elapsed})

    def _judge(self, metrics: Metrics) -> dict[str, Any] | None:
        try:
            return self.watch.look(self.step, metrics)
        except DivergenceError as error:
            self.log.append(self.step, {"event": "diverged", **metrics})
            self._note_session("diverged")
            last = (
                f"the last checkpoint is of step {self.saved_step}"
                if self.saved_step
                else "no checkpoint yet"
            )
            raise DivergenceError(f"{self.run_dir}: {error}; {last}. {_WAYS_OUT}") from error

    def _save(self) -> None:
        if self.saved_step == self.step:
            return
        if not self.ranks.is_lead:
            if isinstance(self.state, RankedState):
                self.state.help_save()
            self.saved_step = self.step
            return
        began = time.perf_counter()
        try:
            memory = {
                "log_bytes": self.log.sync(),
                "guard": self.watch.memory(),
                "metrics": self.metrics,
                "train_seconds": self.meter.train_seconds,
            }
            self.checkpoints.save(self.step, self.state, memory)
        except Exception as error:
            if not is_disk_full(error):
                raise
            before = f"step {self.saved_step} is whole" if self.saved_step else "there is none before it"
            raise ArtifactError(
                f"the disk is full: {self.run_dir} could not save step {self.step} ({before}). Free space "
                "(`make artifacts ARGS='gc --delete'`), then run the same command again"
            ) from error
        self.saved_step = self.step
        self.meter.train_seconds += time.perf_counter() - began

    def _stop_if_asked(self) -> None:
        asked = self.ranks.largest(self.request.signal or 0)
        if not asked:
            return
        self.request.signal = signal.Signals(asked)  # one rank may have heard it, and all stop at this step
        if self.step > 0:
            self._save()
            # None leaves before rank 0 has written: once one is gone, a launcher ends those that are left.
            self.ranks.largest(0)
        self._note_session("stopped", signal=self.request.signal.name)
        done = f"step {self.step} of {self.num_steps} is saved in {self.run_dir}"
        self.request.raise_if_asked(done if self.step else "no step was done")

    def _is_due(self, every_steps: int) -> bool:
        return self.step == self.num_steps or (every_steps > 0 and self.step % every_steps == 0)

    def _note(self) -> str:
        keys = [key for key in ("loss_nats", VALIDATION_LOSS) if key in self.metrics]
        words = [f"{key.removesuffix('_nats')} {self.metrics[key]:.3f}" for key in keys]
        if self.meter.tokens_per_second:
            words.append(f"{self.meter.tokens_per_second:,.0f} tokens/s")
        return ", ".join(words)

    def _note_session(self, what: str, **facts: Any) -> None:
        """What happened to the process, not to the training: kept out of the comparable log."""
        if not self.ranks.is_lead:
            return
        entry = {"what": what, "step": self.step, "unix_seconds": time.time(), "pid": os.getpid()}
        entry |= {"host": socket.gethostname(), **facts}
        with (self.run_dir / "sessions.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class _Meter:
    """Time and what follows from it; rates count the steps since the last record, and nothing else."""

    def __init__(self, tokens_per_step: int, flops_per_step: float, peak_flops_per_second: float):
        self.tokens_per_step, self.flops_per_step = tokens_per_step, flops_per_step
        self.peak_flops_per_second = peak_flops_per_second
        self.train_seconds = 0.0
        self.tokens_per_second = 0.0
        self._steps, self._seconds = 0, 0.0
        self._began = 0.0

    def step(self) -> "_Meter":
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        elapsed = time.perf_counter() - self._began
        self._steps += 1
        self._seconds += elapsed
        self.train_seconds += elapsed

    def rates(self) -> Metrics:
        """What was measured since the last call; every key is one of VOLATILE_KEYS."""
        seconds_per_step = max(self._seconds / max(1, self._steps), 1e-9)
        self._steps, self._seconds = 0, 0.0
        rates = {"step_seconds": seconds_per_step, "elapsed_seconds": self.train_seconds}
        if self.tokens_per_step:
            self.tokens_per_second = rates["tokens_per_second"] = self.tokens_per_step / seconds_per_step
        if self.flops_per_step and self.peak_flops_per_second:
            rates["mfu_fraction"] = self.flops_per_step / seconds_per_step / self.peak_flops_per_second
        return rates | {"memory_bytes": _memory_bytes()}


def _memory_bytes() -> float:
    """The most memory torch has held on the GPU, when one is in use; else what this process holds now."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated())
    import psutil

    return float(psutil.Process().memory_info().rss)


def _require_shared_work() -> None:
    """Refuse ranks that never joined a process group: each would do the whole run, and all but one in vain."""
    num_ranks = os.environ.get("WORLD_SIZE", "1")
    distributed = sys.modules.get("torch.distributed")
    if num_ranks in ("0", "1") or (distributed is not None and distributed.is_initialized()):
        return
    raise ConfigError(
        f"{num_ranks} ranks were started, but this program does not divide its work among ranks: each would train all "
        "of it. Start it once: --launch local, or --ranks 1"
    )


def _claim(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Save the config of a new run; refuse to go on with a run that was begun with another."""
    path = run_dir / "config.json"
    if not path.exists():
        write_json(path, config)
        return
    changed = differences(read_json(path), json.loads(json.dumps(config)))
    if changed:
        rows = ", ".join(f"{key}: {old!r} there, {new!r} here" for key, (old, new) in changed.items())
        raise ConfigError(
            f"{run_dir} holds a run with another config ({rows}). Give this run another --name, "
            "use the settings of that one, or remove the directory"
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
