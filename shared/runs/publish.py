"""What a finished training leaves: a Checkpoint and its RunLog, found again by the key of their step."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from shared import accounting
from shared.doors.protocols import TrainJob
from shared.runs import runner
from shared.runs.runlog import comparable
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import write_checkpoint, write_run_log


@dataclass(frozen=True)
class TrainingKeys:
    """Under which keys the Checkpoint and the RunLog of one training are found."""

    checkpoint: str
    log: str

    @classmethod
    def of(
        cls, step: str, job: TrainJob, inputs: Mapping[str, str], sources: Iterable[str]
    ) -> "TrainingKeys":
        """The keys cover the job, the digests of what it reads, and the code: change any, and it is another step."""
        return cls(step_key(step, job, inputs, sources), step_key(f"{step}:log", job, inputs, sources))


def published(store: Store, keys: TrainingKeys, name: str) -> Artifact | None:
    """The Checkpoint of a training that was done before; it and its log are called `name` from now on."""
    checkpoint = already_made(store, keys.checkpoint, name)
    log = store.find_key(keys.log)
    if checkpoint is not None and log is not None:
        store.give_name(log, name)
    return checkpoint


def publish(
    store: Store,
    keys: TrainingKeys,
    job: TrainJob,
    parents: dict[str, str],
    weights: Mapping[str, Tensor],
    result: runner.RunResult[Any],
) -> Artifact:
    """Checkpoint, then log, and the step's key last: killed in between, the same command publishes both again."""
    training = {"steps": result.step, "metrics": comparable([result.metrics])[0]}
    with store.draft("Checkpoint", config=recorded(job), parents=parents) as draft:
        write_checkpoint(draft, job.model, weights, training)
        draft.cost_seconds, draft.cost_flops = result.train_seconds, accounting.training_flops(job)
    checkpoint = draft.artifact
    parents = {"checkpoint": checkpoint.digest}
    with store.draft("RunLog", config=recorded(job), parents=parents, name=job.name, key=keys.log) as draft:
        write_run_log(draft, result.log, recorded(job))
        draft.cost_seconds = result.train_seconds
    store.give_name(checkpoint, job.name)
    store.give_key(checkpoint, keys.checkpoint)
    return checkpoint
