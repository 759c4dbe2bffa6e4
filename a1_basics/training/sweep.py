"""A sweep: runs that differ in one thing, each resumable, their table and curves published as one Runs artifact.

A member is a training job with the columns that tell it apart from the others and, where that is what is studied,
another model or another step. Its directory lies under the sweep's and is keyed by everything that decides its outcome:
a finished member is never run again, whatever becomes of the sweep around it. That a run diverges, or does not fit into
memory, is a result like any other and not an error.

A run *diverged* when a number was not finite, or when it ended clearly above where its own weights stood before the
first step. It is held against itself, on the same text, and not against guessing: a short run at a low rate has learned
little and may still lie above ln(vocabulary), and a model without norms begins far above it.
"""

import dataclasses
import gc
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a1_basics.configs import MEASURED
from a1_basics.studies import Study
from a1_basics.training.checks import check_job
from a1_basics.training.evaluate import evaluate
from a1_basics.training.loop import MakeStep, fresh_model, run_language_model
from a1_basics.training.memory import device_bytes, forget_peak, peak_bytes
from a1_basics.training.parts import fill_slots
from a1_basics.training.step import TrainState, language_model_step
from shared import accounting, costs
from shared.device import pick_device
from shared.doors.protocols import BasicsDoor, ModelConfig, TrainJob
from shared.doors.resolve import door, source_roots
from shared.errors import DivergenceError
from shared.runs.config import write_json
from shared.runs.guard import Guard
from shared.runs.runlog import VALIDATION_LOSS, read_log
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import Shards, read_shards, read_tokenizer, write_runs

FINISHED, DIVERGED, OUT_OF_MEMORY = "finished", "diverged", "out of memory"
DIVERGED_RISE_NATS = (
    Guard().rise
)  # the guard's measure: held-out tokens have become e times less likely than untrained
_RESULT = "result.json"


Rows = Sequence[Mapping[str, Any]]
Judge = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Member:
    """One run of a sweep."""

    name: str  # as the table and the plot call it
    job: TrainJob
    facts: Mapping[str, Any] = field(default_factory=dict)  # its own columns, a unit in each key
    build: Callable[[ModelConfig], nn.Module] | None = None  # a variant of the model; None: the door's own
    make_step: MakeStep = language_model_step
    finish: Callable[[TrainState], Mapping[str, Any]] | None = None  # columns asked of the trained model

    def identity(self) -> dict[str, Any]:
        """What decides the outcome besides data and sources."""
        parts = {"build": self.build, "make_step": self.make_step, "finish": self.finish}
        named = {key: f"{part.__module__}.{part.__qualname__}" for key, part in parts.items() if part}
        return recorded(self.job) | named | {"facts": dict(self.facts)}


def job_of(study: Study, **changes: Any) -> TrainJob:
    """The job that all members of a study start from, with one thing changed."""
    job = TrainJob(
        model=study.model,
        shards=study.shards,
        steps=study.steps,
        batch_size=study.batch_size,
        max_learning_rate=study.max_learning_rate,
        min_learning_rate=study.max_learning_rate / 10,
        warmup_steps=study.warmup_steps,
        seed=study.seed,
        precision=study.precision,
        device=study.device,
        evaluate_every_steps=max(study.steps // 8, 1),
        evaluate_batches=study.evaluate_batches,
        checkpoint_every_steps=max(study.steps // 4, 1),
        keep_checkpoints=1,
        impl=study.impl,
        store=study.store,
        runs=study.runs,
    )
    return dataclasses.replace(job, **changes)


def run_sweep(
    experiment: str, study: Study, members: Sequence[Member], judge: Judge | None = None
) -> Artifact:
    """Run every member that has not finished yet and publish their table; the Runs artifact.

    `judge` reads the whole table and gives each row the columns that follow from the others.

    Raises:
        ConfigError, ArtifactError: settings or shards that cannot work; seen before the first member begins.
        Preempted, KeyboardInterrupt: asked to stop; the same command goes on within the same member.
    """
    store = Store(study.store)
    source = store.open(study.shards, "Shards")
    shards, inputs = read_shards(source), {"shards": source.digest}
    for member in members:
        check_job(member.job, shards)
    sources = source_roots("a1_basics", study.impl)
    study = dataclasses.replace(study, shards=source.digest)
    key = step_key(f"a1_basics.run.{experiment}", study, inputs, sources)
    made = already_made(store, key, study.name)
    if made is not None:
        return made
    token_bytes = read_tokenizer(store.open(source.parents["tokenizer"], "Tokenizer")).token_bytes()
    parts = door("a1_basics", study.impl)
    rows, curves = [], {}
    for number, member in enumerate(members, 1):
        job = dataclasses.replace(
            member.job, shards=source.digest, name=f"{number}/{len(members)} {member.name}"
        )
        member = dataclasses.replace(member, job=job)
        member_key = step_key("a1_basics.training.sweep", job, inputs | _hashable(member), sources)
        run_dir = study.runs / study.name / f"{_slug(member.name)}-{member_key[:12]}"
        result = _result(member, parts, shards, token_bytes, run_dir)
        curves[member.name] = read_log(run_dir / "log.jsonl") if (run_dir / "log.jsonl").exists() else []
        rows.append(_row(member, result, curves[member.name]))
        print(_line(rows[-1]), flush=True)
    rows = judge(rows) if judge else rows
    config = {"experiment": experiment} | recorded(study)
    with store.draft("Runs", config=config, parents=inputs, name=study.name, key=key) as draft:
        write_runs(draft, rows, curves)
        draft.cost_seconds = sum(row["seconds"] for row in rows)
        draft.cost_flops = sum(row["train_flops"] for row in rows)
    print(draft.artifact)
    return draft.artifact


def work_of(members: Sequence[Member]) -> list[costs.Work]:
    """What the members will compute and hold."""
    return [accounting.training_work(member.job) for member in members]


def sweep_plan(
    experiment: str, presets: Mapping[str, Any], members_of: Callable[[Any], Sequence[Member]], study: Study
) -> dict[str, Any]:
    """What a sweep will cost, on each kind of machine."""
    members = members_of(study)
    work = work_of(members)
    measured = costs.measured_for(
        study, MEASURED.get(experiment, {}), presets, lambda each: work_of(members_of(each))
    )
    return {
        "runs": len(members),
        "train_tokens": sum(member.job.train_tokens for member in members),
        "train_flops": sum(piece.flops for piece in work),
        "largest_run_bytes": max(piece.memory_bytes for piece in work),
        **costs.tiers(work, study.prices, measured),
    }


def _result(
    member: Member, parts: BasicsDoor, shards: Shards, token_bytes: Any, run_dir: Path
) -> dict[str, Any]:
    """What came of a member: read from its directory when it has ended before, else run."""
    ended = run_dir / _RESULT
    if ended.exists():
        _remove_checkpoints(run_dir)  # once more: a process may have been killed while it did
        return json.loads(ended.read_text(encoding="utf-8"))
    device = pick_device(member.job.device)
    model = fresh_model(member.job, member.build or parts.build_model)
    count = sum(parameter.numel() for parameter in model.parameters())
    result: dict[str, Any] = {"parameters": count, "status": FINISHED, "reason": "", "seconds": None}
    forget_peak(device)
    try:
        untrained = untrained_loss(member.job, parts, model, shards, token_bytes)
        result["untrained_loss_nats"] = untrained
        done = run_language_model(
            member.job, parts, model, shards, token_bytes, run_dir, make_step=member.make_step,
            config=member.identity(),
        )  # fmt: skip
        result["seconds"] = done.train_seconds
        if member.finish is not None:
            result |= member.finish(done.state)
        losses = [
            each[VALIDATION_LOSS] for each in read_log(run_dir / "log.jsonl") if VALIDATION_LOSS in each
        ]
        last, worst = done.metrics[VALIDATION_LOSS], max(losses, default=-math.inf)
        if has_diverged(last, untrained):
            worse = f"ended at {last:.2f} nats per token, having begun at {untrained:.2f}"
            result |= {"status": DIVERGED, "reason": worse}
        elif has_diverged(worst, untrained):
            # What such a run ends with tells of the schedule, which takes every rate down to almost nothing.
            worse = f"rose to {worst:.2f} nats per token, having begun at {untrained:.2f}, and ended at {last:.2f}"
            result |= {"status": DIVERGED, "reason": worse}
    except DivergenceError as error:
        result |= {"status": DIVERGED, "reason": str(error.__cause__ or error)}
    except RuntimeError as error:  # torch has no error of its own for a CPU that is out of memory
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        result |= {"status": OUT_OF_MEMORY, "reason": str(error).splitlines()[0]}
    result |= {"peak_memory_bytes": peak_bytes(device), "device_memory_bytes": device_bytes(device)}
    del model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(ended, result)
    _remove_checkpoints(run_dir)
    return result


def _remove_checkpoints(run_dir: Path) -> None:
    """Its curve and result are all that is asked of a run that has ended."""
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def has_diverged(loss_nats: float, untrained_nats: float) -> bool:
    """Whether this held-out loss, at the end of a run or on its way, is worse than none beyond what can be chance.

    >>> [has_diverged(loss, 6.24) for loss in (2.9, 6.26, 7.2, 9.1, math.nan)]
    [False, False, False, True, True]
    """
    return not loss_nats <= untrained_nats + DIVERGED_RISE_NATS  # NaN is not below anything


def untrained_loss(
    job: TrainJob, parts: BasicsDoor, model: nn.Module, shards: Shards, token_bytes: Any
) -> float:
    """Held-out loss in nats per token before the first step, on the text that the run is evaluated on."""
    attend = fill_slots(parts, model, job.model)
    model.eval()
    found = evaluate(
        model,
        shards.tokens("val"),
        token_bytes,
        job.model.context_length,
        job.batch_size // job.microbatches,
        max_batches=job.evaluate_batches * job.microbatches,
        attend=attend,
    )
    model.train()
    return found.nats_per_token


def _row(member: Member, result: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The member's line in the table."""
    steps = max((record["step"] for record in curve), default=0)
    done = dataclasses.replace(member.job, steps=steps)  # less than was asked for when it diverged
    seconds = result["seconds"] or max((record.get("elapsed_seconds", 0.0) for record in curve), default=0.0)
    losses = [record[VALIDATION_LOSS] for record in curve if VALIDATION_LOSS in record]
    return {
        "run": member.name,
        **member.facts,
        **{key: value for key, value in result.items() if key != "seconds"},
        "steps": steps,
        "train_tokens": done.train_tokens,
        "train_flops": accounting.training_flops(done),
        "validation_loss_nats": losses[-1] if losses and result["status"] == FINISHED else math.inf,
        "best_validation_loss_nats": min(losses, default=math.inf),
        "seconds": seconds,
        "tokens_per_second": done.train_tokens / seconds if seconds else 0.0,
    }


def _line(row: Mapping[str, Any]) -> str:
    loss = f"{row['validation_loss_nats']:.3f} nats per token on held-out text"
    return f"  {row['run']}: {loss if row['status'] == FINISHED else row['status'] + ', ' + row['reason']}"


def _slug(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def _hashable(member: Member) -> dict[str, str]:
    return {key: json.dumps(value, sort_keys=True) for key, value in member.identity().items()}
