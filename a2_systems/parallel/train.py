"""Training over ranks, from Shards to a published Checkpoint: what `run.train_parallel` does, behind the door."""

import dataclasses

from a2_systems.parallel.by_door import attention_for, spread_by
from a2_systems.parallel.training import adamw, fresh_model, held_by_all, rank_device, run_spread
from shared.doors.resolve import door, source_roots
from shared.doors.settings import check_ranges, check_shape
from shared.doors.systems import ParallelJob, ParallelTraining
from shared.runs.publish import TrainingKeys, publish, published
from shared.runs.ranks import current
from shared.runs.steps import recorded
from shared.store.artifacts import Store
from shared.store.kinds import read_shards, read_tokenizer


def train_parallel(job: ParallelJob) -> ParallelTraining | None:
    """The run, on every rank; rank 0 publishes what comes of it and tells its cost.

    The run lives in `runs/<name>-<key>`; its key covers the job, the shards and the sources, but not the number of
    ranks: it goes on with as many as there are.

    Raises:
        ConfigError: settings that no training could use, or a batch that the ranks cannot share.
        ArtifactError: shards missing or damaged.
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    check_ranges(job)
    check_shape(job.model)
    ranks, store = current(), Store(job.store)
    source = store.open(job.shards, "Shards")
    tokenizer = store.open(source.parents["tokenizer"], "Tokenizer")
    job = dataclasses.replace(job, shards=source.digest)
    roots = [*source_roots("a1_basics", job.impl), *source_roots("a2_systems", job.impl)]
    keys = TrainingKeys.of("a2_systems.train", job, {"shards": source.digest}, roots)
    if ranks.largest(int(ranks.is_lead and published(store, keys, job.name) is not None)):
        return None
    parts, systems = door("a1_basics", job.impl), door("a2_systems", job.impl)
    model = fresh_model(job, parts)
    attend = attention_for(systems, model, rank_device(job))
    spread = spread_by(systems, model, adamw(job, parts, model), job.spread)
    del model  # of which a rank of a pipeline keeps its stages only
    result = run_spread(
        job,
        parts,
        spread,
        ranks,
        read_shards(source),
        read_tokenizer(tokenizer).token_bytes(),
        job.runs / f"{job.name}-{keys.checkpoint[:12]}",
        config=recorded(job),
        attend=attend,
    )
    weights, held = spread.weights(), held_by_all(result.state, ranks)
    if not ranks.is_lead:
        return None
    parents = {"shards": source.digest, "tokenizer": tokenizer.digest}
    checkpoint = publish(store, keys, job, parents, weights, result)
    return ParallelTraining(
        checkpoint.digest,
        result.log,
        tuple((kinds[0], kinds[1], kinds[2]) for kinds in held.tolist()),
        tuple(kinds[3] for kinds in held.tolist()),
    )
