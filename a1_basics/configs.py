"""The settings of stage 1's programs and their presets, from a smoke test to one GPU.

Model and training settings cross the door and so stand in `shared.doors.protocols` (`ModelConfig`, `TrainJob`); here
are the presets of these two and the configs of the other programs.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.costs import US_PRICES, Measured, Prices
from shared.doors.protocols import ModelConfig, TrainJob
from shared.store.kinds import DOCUMENT_END


@dataclass(frozen=True)
class TrainTokenizer:
    """Learn a vocabulary from the training split of a Corpus."""

    corpus: str = "toy"  # name or digest of a Corpus
    name: str = "toy"  # the Tokenizer's name
    kind: Literal["bpe", "chars", "bytes"] = "bpe"  # byte pairs, or a token for each character or byte
    vocab_size: int = 2048  # bpe alone: 256 bytes, the special tokens, and one for each merge
    pattern: str = "gpt2"  # bpe alone: what cuts text before anything is merged, as gpt2, llama3 or qwen2 do
    special_tokens: tuple[str, ...] = (DOCUMENT_END,)  # never split, never merged into
    impl: str = "reference"  # who learns it: reference, learner, a dotted package, or a path
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class ImportTokenizer:
    """Take over a published tokenizer: GPT-2, Llama 3, Qwen2 or Qwen3."""

    # the file, or a folder with it or with GPT-2's vocab.json and merges.txt
    path: Path = Path("tokenizer.json")
    name: str = "imported"  # the Tokenizer's name
    end_of_text: str = ""  # the added token that closes a document; empty: <|endoftext|> or <|end_of_text|>
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class ExportTokenizer:
    """Write a tokenizer for other programs."""

    tokenizer: str = "toy"  # name or digest of a Tokenizer
    out: Path = Path("exported")  # folder for tokenizer.json and tokenizer_config.json
    store: Path = Path("artifacts")  # where artifacts lie


SWEPT_MODEL = ModelConfig(
    vocab_size=8192, context_length=256, d_model=512, num_layers=8, num_heads=8, d_ff=1344
)


@dataclass(frozen=True)
class TokenizerSweep:
    """Compare vocabulary sizes and rules for cutting text."""

    # names of Corpora: each trains, and is audited held-out
    corpora: tuple[str, ...] = ("toy", "python_library")
    vocab_sizes: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384)  # tokens, rising
    rules_vocab_size: int = 8192  # tokens; at which of the sizes the rules are compared
    train_megabytes: float = 4.0  # bytes of training text in units of 10^6, in equal parts from each corpus
    audit_megabytes: float = 0.5  # bytes of held-out text of each corpus, in units of 10^6
    model: ModelConfig = SWEPT_MODEL  # the shape whose share of embeddings is told, at every size
    name: str = "tokenizers"  # the Runs' name
    prices: Prices = US_PRICES  # dollars for an hour of each kind of machine; only for --dry-run
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class Encode:
    """Turn every split of a Corpus into token ids."""

    corpus: str = "toy"  # name or digest of a Corpus
    tokenizer: str = "toy"  # name or digest of a Tokenizer
    name: str = "toy"  # the Shards' name
    num_workers: int = 0  # processes; 0 takes one for each core
    impl: str = "reference"  # who encodes: reference, learner, a dotted package, or a path
    store: Path = Path("artifacts")  # where artifacts lie
    runs: Path = Path("runs")  # where what is encoded waits until all is


@dataclass(frozen=True)
class EvaluateLM:
    """Measure a checkpoint on held-out text, beside the counted bigram and, where it is known, the entropy floor."""

    checkpoint: str = "base"  # name or digest of a Checkpoint
    shards: str = ""  # name or digest of Shards; empty: those it was trained on
    split: str = "val"  # which held-out split
    name: str = "base"  # the EvalReport's name
    batch_size: int = 16  # sequences at once
    stride_fraction: float = 0.5  # windows advance by this part of the context: each token sees the rest
    max_tokens: int = 200_000  # tokens at most, from the start of the split; 0 takes all
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose model and evaluation
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class LeaderboardCard:
    """Write a result card for a checkpoint."""

    checkpoint: str = "toy"  # name or digest of a Checkpoint
    board: str = "cpu"  # cpu or gpu: the rules are in the handout
    entrant: str = "anonymous"  # whose it is
    name: str = "toy"  # the ResultCard's name
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose model and evaluation
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class LeaderboardCheck:
    """Check result cards again, from their checkpoints, and rank those that hold."""

    cards: tuple[str, ...] = ("toy",)  # names or digests of ResultCards
    again: bool = False  # train each entry again and compare the weights: as long as the training was
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose model, evaluation and training
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class Generate:
    """Sample texts from a checkpoint."""

    checkpoint: str = "base"  # name or digest of a Checkpoint
    prompts: tuple[str, ...] = ("",)  # each is continued; an empty one begins a new document
    num_samples: int = 1  # texts for each prompt
    name: str = "base"  # the Samples' name
    max_new_tokens: int = 256  # a text ends here, or at the end-of-text token
    temperature: float = 0.8  # 0 takes the most probable token, 1 the model's own distribution
    top_k: int | None = None  # keep only the k most probable tokens
    top_p: float | None = 0.95  # keep the fewest tokens whose probabilities sum to at least p
    seed: int = 0  # the n-th text of a run draws from seed + n
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose tokenizer, model and sampling
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class ExportHF:
    """Write a checkpoint as a Hugging Face directory."""

    checkpoint: str = "base"  # name or digest of a Checkpoint
    out: Path = Path("build/hf")  # the directory to make
    dtype: str = "stored"  # of the weights: as they are stored, or float32, bfloat16, float16
    max_shard_bytes: int = 5_000_000_000  # weights beyond this size are cut into several files
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class ImportHF:
    """Read a Hugging Face directory into a Checkpoint and a Tokenizer."""

    source: Path = Path("build/hf")  # the directory: config.json, safetensors, tokenizer.json
    name: str = "imported"  # the name of both artifacts
    tokenizer: str = ""  # name or digest of a Tokenizer to take in place of the directory's own
    context_length: int | None = None  # tokens; None: all that the model was trained for
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class LadderRun:
    """Climb the ladder from a counted bigram to a modern transformer, every rung on the same characters."""

    shards: str = "ladder"  # name or digest of Shards, of a character tokenizer
    name: str = "ladder"  # the Runs' name
    rungs: tuple[str, ...] = ()  # which, by name; none: all of them
    d_model: int = 64  # width of every rung
    num_layers: int = 4  # from the residual rung on; below it, one
    num_heads: int = 4  # from the multi-head rung on
    num_kv_heads: int = 2  # from the grouped-query rung on
    context_length: int = 64  # characters
    dropout: float = 0.1  # fraction of numbers left out, from the dropout rung on
    steps: int = 3000  # optimizer steps of every rung
    batch_size: int = 16  # sequences per step: at this few characters, many steps beat smooth gradients
    train_tokens: int = 200_000  # the end of the training split, 0 for all: read 15 times, to be overfitted
    max_learning_rate: float = 0.0  # 0: each rung its own, the best of two or three that were compared
    evaluate_batches: int = 32  # of held-out text, along the curve; the table's figure takes all of it
    prompt_tokens: int = 32  # held-out characters that each sample goes on from
    sample_tokens: int = 300  # characters that each rung writes
    temperature: float = 0.8  # of the samples
    seed: int = 0  # of weights, batches, dropout and samples
    precision: str = "float32"  # auto | float32 | bfloat16: matrices this small gain nothing from bfloat16
    device: str = "auto"  # auto | cpu | cuda | mps
    prices: Prices = US_PRICES  # dollars for an hour of each kind of machine; only for --dry-run
    impl: str = "reference"  # whose batches, loss, clipping, schedule, evaluation and sampling
    store: Path = Path("artifacts")  # where artifacts lie
    runs: Path = Path("runs")  # where unfinished runs lie


def feed_forward_width(d_model: int, multiple: int = 64) -> int:
    """About 8/3 of `d_model`, in whole multiples: three matrices then cost what two of width 4 d_model would.

    >>> feed_forward_width(512), feed_forward_width(128)
    (1344, 320)
    """
    return max(multiple, 8 * d_model // 3 // multiple * multiple)


def tiny() -> TrainJob:
    """seconds: does everything run? (tests)"""
    model = ModelConfig(vocab_size=512, context_length=64, d_model=48, num_layers=2, num_heads=2, d_ff=128)
    return TrainJob(
        model=model,
        shards="toy",
        steps=60,
        batch_size=8,
        max_learning_rate=5e-3,
        min_learning_rate=5e-4,
        warmup_steps=5,
        evaluate_every_steps=20,
        evaluate_batches=2,
        checkpoint_every_steps=20,
    )


def toy() -> TrainJob:
    """four minutes on two cores: little stories"""
    model = ModelConfig(
        # Four heads: with two, or with eight, names of the story are copied wrong far more often (docs/lab.md).
        vocab_size=2048,
        context_length=256,
        d_model=128,
        num_layers=3,
        num_heads=4,
        d_ff=320,
        qk_norm=True,
    )
    return TrainJob(
        model=model,
        shards="toy",
        steps=2200,
        batch_size=4,  # small and many: at this few tokens, steps teach more than smooth gradients do
        max_learning_rate=5e-3,
        min_learning_rate=1e-4,
        warmup_steps=60,
        evaluate_every_steps=275,
        evaluate_batches=64,
        checkpoint_every_steps=275,
    )


def a1() -> TrainJob:
    """about eight minutes on two cores: 1.9M parameters, stage 1's longer version"""
    model = ModelConfig(
        vocab_size=2048,
        context_length=256,
        d_model=160,
        num_layers=4,
        num_heads=5,
        d_ff=448,
        qk_norm=True,
    )
    return TrainJob(
        model=model,
        shards="a1",
        steps=3000,
        batch_size=4,
        max_learning_rate=4e-3,
        min_learning_rate=1e-4,
        warmup_steps=100,
        evaluate_every_steps=375,
        evaluate_batches=64,
        checkpoint_every_steps=375,
    )


def one_gpu() -> TrainJob:
    """12M parameters in the blocks, 23M in all, on one GPU: the public assignment's TinyStories run, 328M tokens"""
    model = ModelConfig(
        vocab_size=10_000, context_length=256, d_model=512, num_layers=4, num_heads=16, d_ff=1344
    )
    return TrainJob(
        model=model,
        shards="tinystories",
        steps=5000,
        batch_size=256,
        max_learning_rate=2e-3,
        min_learning_rate=2e-4,
        warmup_steps=200,
        evaluate_every_steps=250,
        evaluate_batches=40,
        checkpoint_every_steps=500,
    )


def shakespeare_char() -> LadderRun:
    """two cores, the longest (--dry-run tells): the top rung at nanoGPT's size, 10.7M parameters"""
    return LadderRun(
        name="shakespeare_char",
        rungs=("counted bigram", "Muon"),
        d_model=384,
        num_layers=6,
        num_heads=6,
        num_kv_heads=6,  # as many as heads: at this size the cache is no matter
        context_length=256,
        dropout=0.2,
        steps=2500,
        batch_size=16,
        train_tokens=0,
        max_learning_rate=2e-3,  # a third of what suits the small width
        evaluate_batches=16,
        sample_tokens=500,
        precision="auto",
    )


def ladder_on_one_gpu() -> LadderRun:
    """one GPU: all rungs at nanoGPT's width, 20M characters each"""
    full = shakespeare_char()
    return dataclasses.replace(
        full, name="ladder", rungs=(), num_kv_heads=2, batch_size=32, sample_tokens=300
    )


LADDER_RUNS = {
    "toy": LadderRun(),
    "tiny": LadderRun(steps=20, d_model=32, num_layers=2, sample_tokens=40, evaluate_batches=2),
    "shakespeare_char": shakespeare_char,
    "one_gpu": ladder_on_one_gpu,
}


def gpt2_124m() -> TrainJob:
    """GPT-2's smallest size with our blocks, 10B tokens of FineWeb-Edu: days on one H100"""
    model = ModelConfig(
        vocab_size=50_257,
        context_length=1024,
        d_model=768,
        num_layers=12,
        num_heads=12,
        d_ff=2048,  # three matrices of this width cost what GPT-2's two of 3072 do
        tied_embeddings=True,
    )
    return TrainJob(
        model=model,
        shards="fineweb_edu",  # of FineWeb-Edu's 10B-token sample, by the tokenizer of GPT-2
        steps=19_073,  # of 524,288 tokens each: 10 billion
        batch_size=512,
        microbatches=32,  # of 16 sequences: what one card of 80 GB holds with room to spare
        max_learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=700,
        evaluate_every_steps=250,
        evaluate_batches=20,
        checkpoint_every_steps=500,
        target_loss_nats=3.3,  # about what the public GPT-2 of this size scores on such text
    )


TRAIN_LM = {"toy": toy, "tiny": tiny, "a1": a1, "one_gpu": one_gpu, "gpt2_124m": gpt2_124m}
TRAIN_TOKENIZER = {
    "toy": TrainTokenizer(),
    "tiny": TrainTokenizer(vocab_size=512),
    "one_gpu": TrainTokenizer(corpus="tinystories", name="tinystories", vocab_size=10_000),
}
IMPORT_TOKENIZER = {"default": ImportTokenizer()}
EXPORT_TOKENIZER = {"default": ExportTokenizer()}
TOKENIZER_SWEEP = {
    "toy": TokenizerSweep(),
    "tiny": TokenizerSweep(
        corpora=("toy",),
        vocab_sizes=(300, 512),
        rules_vocab_size=512,
        train_megabytes=0.1,
        audit_megabytes=0.02,
    ),
    "one_gpu": TokenizerSweep(  # beside a GPU's run: more text and larger vocabularies, on the processor's cores
        vocab_sizes=(512, 1024, 2048, 4096, 8192, 16384, 32768),
        train_megabytes=20.0,
        audit_megabytes=2.0,
    ),
}
ENCODE = {
    "toy": Encode(),
    "one_gpu": Encode(corpus="tinystories", tokenizer="tinystories", name="tinystories"),
}
EVALUATE_LM = {"toy": EvaluateLM(), "tiny": EvaluateLM(max_tokens=10_000)}
GENERATE = {
    "toy": Generate(num_samples=6, temperature=0.6),
    "tiny": Generate(max_new_tokens=40),
    "greedy": dataclasses.replace(Generate(), temperature=0.0, top_p=None),
}
EXPORT_HF = {"stored": ExportHF(), "bfloat16": ExportHF(dtype="bfloat16")}
IMPORT_HF = {"whole": ImportHF()}
LEADERBOARD_CARD = {
    "cpu": LeaderboardCard(),
    "gpu": LeaderboardCard(board="gpu", checkpoint="one_gpu", name="one_gpu"),
}
LEADERBOARD_CHECK = {"default": LeaderboardCheck()}

HERE = "two cores of an Intel Xeon with AMX, in bfloat16"
# By program and preset: runs of exactly that preset to its end, with the seconds that its artifact's manifest tells.
MEASURED: Mapping[str, Mapping[str, Measured]] = {
    "train_lm": {"toy": Measured(172.0, "cpu", HERE)},
    "learning_rate": {"toy": Measured(141.0, "cpu", HERE)},
    "batch_size": {"toy": Measured(245.0, "cpu", HERE)},
    "ablations": {"toy": Measured(74.0, "cpu", HERE)},
    "divergence": {"toy": Measured(96.0, "cpu", HERE)},
    "scaling_audit": {"toy": Measured(49.0, "cpu", HERE)},
    "ladder": {"toy": Measured(1093.0, "cpu", HERE)},
}
