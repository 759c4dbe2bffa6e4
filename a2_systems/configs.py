"""The settings of stage 2's programs and their presets."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from shared.doors.inference import ChatJob, ServeJob
from shared.doors.protocols import ModelConfig
from shared.doors.systems import ParallelJob, StrategyName

SMALL = ModelConfig(vocab_size=2048, context_length=256, d_model=128, num_layers=3, num_heads=2, d_ff=344)
TINY = ModelConfig(vocab_size=512, context_length=32, d_model=32, num_layers=2, num_heads=2, d_ff=88)
GPU = ModelConfig(vocab_size=8192, context_length=512, d_model=512, num_layers=8, num_heads=8, d_ff=1376)


TOY = ParallelJob(
    model=SMALL,
    shards="toy",
    name="parallel",
    steps=100,
    batch_size=4,
    max_learning_rate=5e-3,
    min_learning_rate=1e-4,
    warmup_steps=10,
    evaluate_every_steps=50,
)
TRAIN_PARALLEL = {
    "toy": TOY,
    "short": dataclasses.replace(TOY, steps=16, warmup_steps=4, evaluate_every_steps=8, evaluate_batches=4),
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
    # Stage 1's preset of this name, its batch cut into fewer pieces, for eight ranks read them at once.
    "gpt2_124m": ParallelJob(
        model=ModelConfig(
            vocab_size=50_257,
            context_length=1024,
            d_model=768,
            num_layers=12,
            num_heads=12,
            d_ff=2048,  # three matrices of this width cost what GPT-2's two of 3072 do
            tied_embeddings=True,
        ),
        shards="fineweb_edu",  # of FineWeb-Edu's 10B-token sample, by the tokenizer of GPT-2
        name="parallel-gpt2",
        steps=19_073,  # of 524,288 tokens each: 10 billion
        batch_size=512,
        microbatches=4,  # of 16 sequences on each of eight cards; on fewer give --microbatches 32 / cards
        max_learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=700,
        evaluate_every_steps=250,
        evaluate_batches=20,
        checkpoint_every_steps=500,
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
    name: str = "plan"  # the Runs' name
    store: Path = Path("artifacts")  # where artifacts lie


CORES = PlanTraining(
    model=SMALL,
    gpus=(1, 2, 4),
    batch_sequences=4,
    memory_gb=4.0,
    teraflops_per_second=0.05,
    inside_gb_per_second=1.0,
    inside_microseconds=100.0,
)
PLAN = {
    "8b": PlanTraining(),
    "70b": PlanTraining(model=LLAMA_70B),
    "one_gpu": PlanTraining(model=GPU, gpus=(1, 2, 4, 8), batch_sequences=64),
    # ranks of one processor core each, with the model and the batch of the presets toy and tiny of train_parallel
    "toy": dataclasses.replace(CORES, model=SMALL),
    "tiny": dataclasses.replace(CORES, model=TINY),
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
    take: int = 1  # of measurements with the same settings; another number measures once more
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


@dataclass(frozen=True)
class MeasureAttention:
    """Attention written out, by tiles and torch's own, by width of a head and length."""

    head_dims: tuple[int, ...] = (16, 64)  # numbers in a query
    seqs: tuple[int, ...] = (64, 256)  # positions
    batch_size: int = 8  # sequences of one head each
    is_causal: bool = True  # whether a query sees only what comes before it
    warmups: int = 2  # calls that do not count
    repeats: int = 5  # calls that are measured, forward and backward each
    precision: str = "float32"  # auto | float32 | bfloat16, of queries, keys and values
    memory_gb: float = 0.0  # that may be taken, of 10^9 bytes; 0: what is free
    take: int = 1  # of measurements with the same settings; another number measures once more
    name: str = "measure-attention"  # the Runs' name
    device: str = "auto"  # auto, cpu, cuda or mps
    store: Path = Path("artifacts")  # where artifacts lie


MEASURE_ATTENTION = {
    "toy": MeasureAttention(head_dims=(16, 64, 128), seqs=(256, 1024, 2048), repeats=7),
    "tiny": MeasureAttention(name="measure-attention-tiny"),
    "one_gpu": MeasureAttention(
        head_dims=(16, 32, 64, 128),
        seqs=(256, 1024, 4096, 8192, 16_384),
        warmups=5,
        repeats=100,
        precision="bfloat16",
        name="measure-attention-gpu",
    ),
}


@dataclass(frozen=True)
class MeasureCompile:
    """What torch.compile makes of attention written out and of whole models."""

    attention: tuple[tuple[int, int], ...] = ((64, 256),)  # head_dim and length of each
    models: tuple[tuple[str, ModelConfig], ...] = ()  # name and shape of each; their whole step is timed
    batch_size: int = 4  # sequences
    warmups: int = 3  # calls that do not count: the first one compiles
    repeats: int = 7  # calls that are measured
    precision: str = "auto"  # auto | float32 | bfloat16, of matrix products
    take: int = 1  # of measurements with the same settings; another number measures once more
    name: str = "measure-compile"  # the Runs' name
    device: str = "auto"  # auto, cpu or cuda
    seed: int = 0  # of weights and tokens
    store: Path = Path("artifacts")  # where artifacts lie


MEASURE_COMPILE = {
    "toy": MeasureCompile(attention=((64, 256), (64, 1024)), models=(("small", SMALL),)),
    "tiny": MeasureCompile(name="measure-compile-tiny"),
    "one_gpu": MeasureCompile(
        attention=((64, 1024), (64, 4096), (128, 4096)),
        models=(
            ("small", _published(512, 768, 3072, 12, 12)),
            ("medium", _published(512, 1024, 4096, 24, 16)),
        ),
        warmups=5,
        repeats=10,
        name="measure-compile-gpu",
    ),
}


@dataclass(frozen=True)
class MeasureStrategies:
    """Every way of spreading a training over these ranks: speed, waiting and memory, on random tokens."""

    model: ModelConfig = TINY  # its shape
    batch_size: int = 4  # sequences of a step, all ranks together
    # which to measure; `single` is rank 0 alone
    strategies: tuple[StrategyName, ...] = ("single", "naive", "flat", "overlap", "bucketed", "zero1", "fsdp")
    bucket_size_mb: float = 25.0  # MiB of gradients in a message, for bucketed and zero1
    warmups: int = 2  # steps that do not count
    repeats: int = 5  # steps that are measured
    precision: str = "float32"  # auto | float32 | bfloat16, of matrix products
    take: int = 1  # of measurements with the same settings; another number measures once more
    name: str = "measure-strategies"  # the Runs' name
    device: str = "auto"  # auto, cpu or cuda
    seed: int = 0  # of weights and tokens
    store: Path = Path("artifacts")  # where artifacts lie


MEASURE_STRATEGIES = {
    "toy": MeasureStrategies(model=SMALL, bucket_size_mb=1.0),
    "tiny": MeasureStrategies(bucket_size_mb=0.1, name="measure-strategies-tiny"),
    "one_gpu": MeasureStrategies(
        model=GPU, batch_size=64, warmups=5, repeats=20, precision="bfloat16", name="measure-strategies-gpu"
    ),
}


@dataclass(frozen=True)
class CheckKernels:
    """Every kernel against float64, on inputs that have led kernels astray."""

    length: int = 40  # positions of the attention: no multiple of a tile
    num_rows: int = 96  # of the norm and of the last layer
    name: str = "kernels"  # the Runs' name
    device: str = "auto"  # auto, cpu or cuda; on a CPU the Triton kernels run in Triton's interpreter
    store: Path = Path("artifacts")  # where artifacts lie


CHECK_KERNELS = {
    "cpu": CheckKernels(),
    "one_gpu": CheckKernels(length=777, num_rows=1000, name="kernels-gpu"),
}
CHAT = {"default": ChatJob(), "tiny": ChatJob(checkpoint="toy-tiny", max_new_tokens=24)}
SERVE = {"default": ServeJob(), "tiny": ServeJob(checkpoint="toy-tiny")}
