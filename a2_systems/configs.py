"""The settings of stage 2's programs and their presets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.doors.protocols import ModelConfig, TrainJob
from shared.doors.systems import Strategy, StrategyName

SMALL = ModelConfig(vocab_size=2048, context_length=256, d_model=128, num_layers=3, num_heads=2, d_ff=344)
TINY = ModelConfig(vocab_size=512, context_length=32, d_model=32, num_layers=2, num_heads=2, d_ff=88)
GPU = ModelConfig(vocab_size=8192, context_length=512, d_model=512, num_layers=8, num_heads=8, d_ff=1376)


@dataclass(frozen=True)
class ParallelJob(TrainJob):
    """A training run of stage 1, spread over ranks: `batch_size` is that of all ranks together."""

    # single, naive, flat, overlap, bucketed, zero1 or fsdp: each adds one idea to the one before it
    strategy: StrategyName = "bucketed"
    bucket_size_mb: float = 25.0  # MiB of gradients in a message, for bucketed and zero1
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # fsdp alone: in which matrices travel

    @property
    def spread(self) -> Strategy:
        """What `parallelize` is asked for."""
        return Strategy(self.strategy, self.bucket_size_mb, self.compute_dtype)


TRAIN_PARALLEL = {
    "toy": ParallelJob(
        model=SMALL,
        shards="toy",
        name="parallel",
        steps=300,
        batch_size=4,
        max_learning_rate=5e-3,
        min_learning_rate=1e-4,
        warmup_steps=30,
        evaluate_every_steps=100,
    ),
    "tiny": ParallelJob(
        model=TINY,
        shards="toy-tiny",
        name="parallel-tiny",
        steps=20,
        batch_size=4,
        max_learning_rate=5e-3,
        warmup_steps=2,
        evaluate_every_steps=10,
        evaluate_batches=2,
        checkpoint_every_steps=5,
    ),
    "one_gpu": ParallelJob(
        model=GPU,
        shards="one_gpu",
        name="parallel-gpu",
        steps=2_000,
        batch_size=64,
        max_learning_rate=2e-3,
        warmup_steps=100,
        strategy="fsdp",
        compute_dtype="bfloat16",
    ),
}


@dataclass(frozen=True)
class CompareTraining:
    """Hold runs on several ranks against one on a single rank."""

    logs: tuple[str, ...] = ()  # names of RunLogs; the first is the measure
    name: str = "parallel"  # the name of the Runs
    tolerance_nats: float = 1e-3  # sums in another order, through some hundred steps of float32; a wrong gradient is 100 x
    store: Path = Path("artifacts")  # where artifacts lie


COMPARE_TRAINING = {"default": CompareTraining()}
