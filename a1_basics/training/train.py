"""Training a language model from Shards to a published Checkpoint: what `run.train_lm` does, behind the door."""

import dataclasses

from torch import nn

from a1_basics.training.checks import check_job
from a1_basics.training.loop import fresh_model, run_language_model
from shared.doors.protocols import ModelConfig, TrainJob
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.config import differences, to_dict
from shared.runs.publish import TrainingKeys, publish, published
from shared.runs.steps import recorded
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    read_checkpoint,
    read_shards,
    read_tokenizer,
    require_same_tokenizer,
)


def train(job: TrainJob) -> str:
    """Train to the end of the job, resuming if it was begun before; the digest of the published Checkpoint.

    The run lives in `runs/<name>-<key>`; its key covers the job, the shards and the sources, so that a changed
    setting is another run and an unchanged one is found finished.

    Raises:
        ConfigError: the model's shape does not fit the shards, or not the checkpoint that it starts from.
        ArtifactError: shards missing or damaged, or a first checkpoint that was made with another tokenizer.
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    initial = store.open(job.init, "Checkpoint") if job.init else None
    # what was read, by whatever name it was called
    job = dataclasses.replace(job, shards=source.digest, init=initial.digest if initial else "")
    shards = read_shards(source)
    check_job(job, shards)
    inputs = {"shards": source.digest} | ({"init": initial.digest} if initial else {})
    sources = source_roots("a1_basics", job.impl)
    keys = TrainingKeys.of("a1_basics.train", job, inputs, sources)
    finished = published(store, keys, job.name)
    if finished is not None:
        return finished.digest
    tokenizer = store.open(source.parents["tokenizer"], "Tokenizer")
    parts = door("a1_basics", job.impl)
    model = fresh_model(job, parts.build_model)
    if initial is not None:
        require_same_tokenizer(initial, source)
        start_from(model, job.model, initial)
    result = run_language_model(
        job,
        parts,
        model,
        shards,
        read_tokenizer(tokenizer).token_bytes(),
        job.runs / f"{job.name}-{keys.checkpoint[:12]}",
        config=recorded(job),
    )
    parents = inputs | {"tokenizer": tokenizer.digest}
    return publish(store, keys, job, parents, result.state.model.state_dict(), result).digest


def start_from(model: nn.Module, config: ModelConfig, initial: Artifact) -> None:
    """Load the weights of a checkpoint into a model of the same shape.

    Raises:
        ConfigError: it has another shape; the message names each difference and the flag that mends it.
    """
    found, weights = read_checkpoint(initial)
    if not isinstance(found, ModelConfig):
        raise ConfigError(f"{initial} is a GPT-2 (`ClassicConfig`), which train_lm does not train")
    changed = differences(to_dict(found), to_dict(config))
    if changed:
        flags = " ".join(f"--model.{name.replace('_', '-')} {value}" for name, (value, _) in changed.items())
        words = ", ".join(f"{name}: {wanted} there, {here} here" for name, (wanted, here) in changed.items())
        raise ConfigError(f"{initial} is a model of another shape ({words}); take its preset, or add {flags}")
    model.load_state_dict(weights)
