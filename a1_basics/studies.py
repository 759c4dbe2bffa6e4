"""The settings of stage 1's experiments and their presets: seconds, minutes on two cores, or one GPU.

They stand apart from `configs` because all of them share one base: what the runs of an experiment have in common.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_basics.configs import one_gpu
from shared.costs import US_PRICES, Prices
from shared.doors.protocols import ModelConfig

STUDY_MODEL = ModelConfig(vocab_size=512, context_length=128, d_model=72, num_layers=4, num_heads=3, d_ff=192)


@dataclass(frozen=True)
class Study:
    """What the runs of an experiment have in common; each experiment adds what it varies."""

    name: str  # the Runs' name
    model: ModelConfig = STUDY_MODEL  # four layers, so that depth can do harm where a norm is missing
    shards: str = "study"  # name or digest of Shards
    steps: int = 240  # optimizer steps of each run
    batch_size: int = 8  # sequences per optimizer step
    max_learning_rate: float = 1e-2  # the best of the sweep at this size
    warmup_steps: int = 20  # steps in which the rate rises to its peak
    evaluate_batches: int = 12  # of held-out text, at each of eight evaluations
    seed: int = 0  # the same weights and the same batches in every run
    precision: str = "auto"  # auto | float32 | bfloat16
    device: str = "auto"  # auto | cpu | cuda | mps
    prices: Prices = US_PRICES  # only for --dry-run
    impl: str = "reference"  # whose model, step and optimizer
    store: Path = Path("artifacts")  # where artifacts lie
    runs: Path = Path("runs")  # where unfinished runs lie


@dataclass(frozen=True)
class LearningRate(Study):
    """Rates on a logarithmic grid, far enough up that some diverge."""

    name: str = "learning_rate"  # the Runs' name
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)  # at the peak


@dataclass(frozen=True)
class BatchSize(Study):
    """Batch sizes over the same number of tokens; on a GPU the last ones are meant not to fit."""

    name: str = "batch_size"  # the Runs' name
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)  # sequences


@dataclass(frozen=True)
class Ablations(Study):
    """The model against itself with one part taken out or exchanged."""

    name: str = "ablations"  # the Runs' name


@dataclass(frozen=True)
class Divergence(Study):
    """Four ways to lose a run, each beside its cure."""

    name: str = "divergence"  # the Runs' name
    fragile_rate_ratio: float = 2.0  # of the rate at which warm-up is tried: high enough that it matters
    wild_rate_ratio: float = 1000.0  # of the rate that is too high


@dataclass(frozen=True)
class ScalingAudit(Study):
    """Models of three sizes over the same tokens: loss, speed, bytes and what they write."""

    name: str = "scaling_audit"  # the Runs' name
    # layers and width: each has 5 times more parameters in its blocks than the one before
    sizes: tuple[tuple[int, int], ...] = ((2, 48), (3, 96), (4, 192))
    d_ff_multiple: int = 1  # 8/3 of a width is rounded down to a multiple of this: 64 suits tensor cores


def tiny_study() -> dict[str, Any]:
    """Seconds for each run: does everything work? (tests)"""
    model = ModelConfig(vocab_size=512, context_length=32, d_model=24, num_layers=2, num_heads=2, d_ff=64)
    return {"model": model, "steps": 16, "batch_size": 4, "warmup_steps": 2, "evaluate_batches": 2}


def one_gpu_study() -> dict[str, Any]:
    """The public assignment's model on TinyStories, 41M tokens for each run."""
    model = one_gpu().model
    return {
        "model": model,
        "shards": "tinystories",
        "steps": 2500,
        "batch_size": 64,
        "max_learning_rate": 3e-3,
        "warmup_steps": 100,
        "evaluate_batches": 40,
    }


def stories_audit() -> ScalingAudit:
    """half an hour on two cores: what ten times more parameters are worth on 5M tokens of stories"""
    model = ModelConfig(
        vocab_size=1024, context_length=256, d_model=64, num_layers=3, num_heads=2, d_ff=170, qk_norm=True
    )
    return ScalingAudit(
        name="stories_audit",
        model=model,
        sizes=((3, 64), (3, 128), (5, 192)),  # 0.28M, 0.85M and 2.6M parameters, heads of width 32
        steps=2441,  # of 2,048 tokens each: 5 million
        batch_size=8,
        max_learning_rate=5e-3,  # the best at this width, and by the root of the width at the others
        warmup_steps=100,
        evaluate_batches=50,
    )


GPU_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0, 10.0)
GPU_BATCHES = (1, 4, 16, 64, 256, 1024, 4096)  # the last ones exceed the memory of one card
GPU_SIZES = ((4, 256), (8, 512), (12, 1024))

LEARNING_RATE = {
    "toy": LearningRate(),
    "tiny": LearningRate(rates=(1e-3, 1e-2, 10.0), **tiny_study()),
    "one_gpu": LearningRate(rates=GPU_RATES, **one_gpu_study()),
}
BATCH_SIZE = {
    "toy": BatchSize(),
    "tiny": BatchSize(batch_sizes=(2, 4, 8), **tiny_study()),
    "one_gpu": BatchSize(batch_sizes=GPU_BATCHES, **one_gpu_study()),
}
ABLATIONS = {
    "toy": Ablations(),
    "tiny": Ablations(**tiny_study()),
    "one_gpu": Ablations(**one_gpu_study()),
}
DIVERGENCE = {
    "toy": Divergence(),
    "tiny": Divergence(**tiny_study()),
    "one_gpu": Divergence(**one_gpu_study()),
}
SCALING_AUDIT = {
    "toy": ScalingAudit(),
    "tiny": ScalingAudit(sizes=((1, 24), (2, 24), (2, 48)), **tiny_study()),
    "stories": stories_audit,
    "one_gpu": ScalingAudit(sizes=GPU_SIZES, d_ff_multiple=64, **one_gpu_study()),
}
