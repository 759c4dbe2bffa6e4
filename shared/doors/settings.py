"""What can be seen to be wrong in the settings that cross a door, whoever's code they go to."""

from shared.doors.protocols import ModelConfig, TrainJob
from shared.errors import ConfigError

AT_LEAST_ONE = ("batch_size", "microbatches", "steps", "evaluate_batches", "keep_checkpoints")
SIZES = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff")
NOT_NEGATIVE = (
    "seed", "max_learning_rate", "min_learning_rate", "weight_decay", "adam_eps",
    "evaluate_every_steps", "checkpoint_every_steps",  # zero: at the end alone
)  # fmt: skip


def check_ranges(job: TrainJob) -> None:
    """Refuse a number that no run could use, by its flag.

    Raises:
        ConfigError: as said; NaN counts as out of range.
    """
    for names, least in ((AT_LEAST_ONE, 1), (NOT_NEGATIVE, 0)):
        for name in names:
            if not getattr(job, name) >= least:
                raise ConfigError(f"{flag(name)} {getattr(job, name)} must be at least {least}")
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(job, name) < 1:
            raise ConfigError(f"{flag(name)} {getattr(job, name)} must lie in [0, 1)")
    if not job.clip_norm > 0:
        raise ConfigError(f"--clip-norm {job.clip_norm} must be above 0; a very large one clips nothing")


def check_shape(model: ModelConfig) -> None:
    """Refuse the shape of a model that cannot be built.

    Raises:
        ConfigError: a size below one, or heads that do not share the width evenly.
    """
    for name in SIZES:
        if getattr(model, name) < 1:
            raise ConfigError(f"{flag(f'model.{name}')} {getattr(model, name)} must be at least 1")
    heads, kv_heads = model.num_heads, model.num_kv_heads
    if model.head_dim is None and model.d_model % heads:
        fitting = [count for count in range(1, model.d_model + 1) if model.d_model % (2 * count) == 0]
        nearest = min(fitting, key=lambda count: abs(count - heads), default=1)
        raise ConfigError(
            f"d_model={model.d_model} cannot be shared by {heads} heads; the nearest that fits is "
            f"--model.num-heads {nearest}"
        )
    if kv_heads is not None and (kv_heads < 1 or heads % kv_heads):
        raise ConfigError(
            f"{heads} query heads cannot share {kv_heads} key heads; --model.num-kv-heads must divide {heads}"
        )
    if model.width_per_head < 1 or model.width_per_head % 2:
        raise ConfigError(
            f"a head of width {model.width_per_head} cannot be rotated: RoPE turns coordinates in pairs. Choose "
            "--model.num-heads or --model.head-dim for an even width"
        )


def flag(name: str) -> str:
    """A field as the command line spells it."""
    return f"--{name.replace('_', '-')}"
