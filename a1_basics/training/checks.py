"""What can be seen to fail in a training job before anything is built or run."""

from shared.doors.protocols import TrainJob
from shared.doors.settings import check_ranges, check_shape
from shared.errors import ConfigError
from shared.store.kinds import Shards


def check_job(job: TrainJob, shards: Shards) -> None:
    """Refuse what can be seen to fail before the first step.

    Raises:
        ConfigError: a setting outside its range, a model that cannot be built, another vocabulary than the shards', a
            context longer than a split, a schedule out of order, or a batch that cannot be cut into its microbatches.
    """
    check_ranges(job)
    check_shape(job.model)
    vocab_size, context_length = job.model.vocab_size, job.model.context_length
    if vocab_size < shards.vocab_size:
        raise ConfigError(
            f"the model knows {vocab_size} tokens and the shards '{job.shards[:12]}' hold ids below "
            f"{shards.vocab_size}; use --model.vocab-size {shards.vocab_size}"
        )
    for split in ("train", "val"):
        if shards.num_tokens(split) <= context_length:
            raise ConfigError(
                f"context_length={context_length} needs more than the {shards.num_tokens(split):,} tokens of split "
                f"'{split}' in shards '{job.shards[:12]}'; use a longer corpus or --model.context-length "
                f"{max(shards.num_tokens(split) // 2, 1)}"
            )
    if not 0 <= job.warmup_steps <= job.steps:
        raise ConfigError(f"warmup_steps={job.warmup_steps} must lie between 0 and steps={job.steps}")
    if job.batch_size % job.microbatches:
        raise ConfigError(
            f"a batch of {job.batch_size} sequences cannot be cut into {job.microbatches} equal microbatches"
        )
