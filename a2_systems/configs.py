"""The settings of stage 2's programs and their presets."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from shared.doors.protocols import ModelConfig
from shared.doors.systems import ParallelJob

SMALL = ModelConfig(vocab_size=2048, context_length=256, d_model=128, num_layers=3, num_heads=2, d_ff=344)
TINY = ModelConfig(vocab_size=512, context_length=32, d_model=32, num_layers=2, num_heads=2, d_ff=88)
GPU = ModelConfig(vocab_size=8192, context_length=512, d_model=512, num_layers=8, num_heads=8, d_ff=1376)


TRAIN_PARALLEL = {
    "toy": ParallelJob(
        model=SMALL,
        shards="toy",
        name="parallel",
        steps=100,
        batch_size=4,
        max_learning_rate=5e-3,
        min_learning_rate=1e-4,
        warmup_steps=10,
        evaluate_every_steps=50,
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
    # sums in another order explain so much, through a hundred steps of float32; a wrong gradient shows by 0.1
    tolerance_nats: float = 1e-3
    store: Path = Path("artifacts")  # where artifacts lie


COMPARE_TRAINING = {"default": CompareTraining()}


LLAMA_8B = ModelConfig(
    vocab_size=128_256,
    context_length=8192,
    d_model=4096,
    num_layers=32,
    num_heads=32,
    d_ff=14_336,
    num_kv_heads=8,
    rope_theta=500_000.0,
)
LLAMA_70B = dataclasses.replace(LLAMA_8B, d_model=8192, num_layers=80, num_heads=64, d_ff=28_672)


@dataclass(frozen=True)
class PlanTraining:
    """A model, a batch and a cluster, for which layouts are counted."""

    model: ModelConfig = LLAMA_8B  # its shape
    gpus: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # a row of the table each
    batch_sequences: int = 1024  # of one optimizer step, all ranks together
    seq: int = 0  # tokens in each; 0 takes the model's context
    memory_gb: float = 80.0  # of each GPU, of 10^9 bytes
    # sustained by each in bfloat16: some 40 per cent of an H100's data sheet
    teraflops_per_second: float = 400.0
    gpus_per_node: int = 8  # within which tensor parallelism stays
    inside_gb_per_second: float = 450.0  # that a GPU sends within its node
    inside_microseconds: float = 5.0  # for a message, however short
    # that a GPU sends to another node: a network card of 400 Gbit/s for each
    between_gb_per_second: float = 50.0
    between_microseconds: float = 10.0  # for a message, however short


PLAN = {
    "8b": PlanTraining(),
    "70b": PlanTraining(model=LLAMA_70B),
    "one_gpu": PlanTraining(model=GPU, gpus=(1, 2, 4, 8), batch_sequences=64),
}


@dataclass(frozen=True)
class MeasureStep:
    """Where time and memory of a training step go, by the size of the model and the length of the context."""

    models: tuple[tuple[str, ModelConfig], ...] = (("tiny", TINY),)  # name and shape of each
    # tokens in a sequence; each model is measured at those within its context
    seqs: tuple[int, ...] = (16, 32)
    batch_size: int = 4  # sequences
    warmups: int = 2  # steps that do not count: what happens only once is in them
    repeats: int = 5  # steps that are measured
    precision: str = "auto"  # auto | float32 | bfloat16, of matrix products
    name: str = "measure-step"  # the Runs', the EvalReport's and the Report's name
    device: str = "auto"  # auto, cpu, cuda or mps
    seed: int = 0  # of weights and tokens
    store: Path = Path("artifacts")  # where artifacts lie


def _published(context_length: int, d_model: int, d_ff: int, num_layers: int, num_heads: int) -> ModelConfig:
    return ModelConfig(10_000, context_length, d_model, num_layers, num_heads, d_ff)


MEASURE_STEP = {
    "toy": MeasureStep(
        models=(
            ("narrow", TINY),
            ("small", SMALL),
            ("wide", dataclasses.replace(SMALL, d_model=256, d_ff=688)),
        ),
        seqs=(32, 64, 128, 256),
    ),
    "tiny": MeasureStep(name="measure-step-tiny"),
    "one_gpu": MeasureStep(
        models=(
            ("small", _published(2048, 768, 3072, 12, 12)),
            ("medium", _published(2048, 1024, 4096, 24, 16)),
            ("large", _published(2048, 1280, 5120, 36, 20)),
            ("xl", _published(2048, 2560, 10_240, 32, 32)),
        ),
        seqs=(128, 256, 512, 1024),
        warmups=5,
        repeats=10,
        name="measure-step-gpu",
    ),
}
