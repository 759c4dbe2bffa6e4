"""Small training jobs with data of their own, and their published weights in float64, which tell what was done."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared.doors.protocols import ModelConfig, TrainJob
from shared.store.artifacts import Store
from shared.store.kinds import ShardWriter, read_checkpoint, trained_tokenizer, write_corpus, write_tokenizer
from tests.harness.explain import expect
from tests.oracles.transformer import language_model

LETTERS, END = "abcdef", 6
MODEL = ModelConfig(vocab_size=7, context_length=12, d_model=24, num_layers=1, num_heads=2, d_ff=32)
# Weights of size 0.1 to 1 in float32 round by up to 6e-8 in each of at most 12 steps.
ROUNDING = 1e-6


def publish_shards(folder: Path, train, val) -> Path:
    """A store with the Shards "data": two splits of tokens below 6, each closed by the end-of-text id."""
    store = Store(folder / "artifacts")
    with store.draft("Corpus", config={}, parents={}) as corpus:
        write_corpus(corpus, {"train": ["".join(LETTERS[t] for t in train)]})
    vocab = {i: letter.encode() for i, letter in enumerate(LETTERS)} | {END: b"<|endoftext|>"}
    with store.draft("Tokenizer", config={}, parents={}) as tokenizer:
        write_tokenizer(tokenizer, trained_tokenizer(vocab, [], ["<|endoftext|>"], type="chars"))
    parents = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.artifact.digest}
    with (
        store.draft("Shards", config={}, parents=parents, name="data") as draft,
        ShardWriter(draft, MODEL.vocab_size, END) as writer,
    ):
        for split, tokens in (("train", train), ("val", val)):
            writer.write(split, [*tokens, END], num_bytes=len(tokens))
    return store.root


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, count)


def job_in(folder: Path, train=None, val=None, **settings) -> TrainJob:
    """A small job with data of its own in this folder."""
    train = noise(400) if train is None else train
    root = publish_shards(folder, train, noise(60, 1) if val is None else val)
    job = TrainJob(
        MODEL,
        "data",
        name="small",
        steps=4,
        batch_size=4,
        max_learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=1,
        precision="float32",
        device="cpu",
        evaluate_every_steps=100,
        evaluate_batches=1,
        checkpoint_every_steps=100,
        store=root,
        runs=folder / "runs",
    )
    return replace(job, **settings)


def weights_of(job: TrainJob, digest) -> dict[str, np.ndarray]:
    """The published weights in float64."""
    expect(
        isinstance(digest, str),
        what="train() returns the digest of the published Checkpoint, as text",
        why="the program that called it opens the artifact by that digest",
        counterexample=f"got {digest!r}",
    )
    _, weights = read_checkpoint(Store(job.store).open(digest, "Checkpoint"))
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def trained(adapters, folder: Path, train=None, val=None, **settings) -> dict[str, np.ndarray]:
    job = job_in(folder, train, val, **settings)
    return weights_of(job, adapters.train(job))


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> np.ndarray:
    """All weights laid end to end: after minus before."""
    return np.concatenate([(after[name] - before[name]).ravel() for name in sorted(before)])


def loss_nats(weights: dict[str, np.ndarray], tokens: np.ndarray) -> float:
    """Mean loss over windows of a whole context, by the float64 model."""
    length = MODEL.context_length
    windows = np.stack([tokens[i : i + length + 1] for i in range(0, len(tokens) - length, length)])
    logits = language_model(windows[:, :-1], weights, MODEL.num_layers, MODEL.num_heads, MODEL.rope_theta)
    logits = logits - logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return float(-np.take_along_axis(log_p, windows[:, 1:, None], axis=-1).mean())


def scheduled(it: int, top: float, bottom: float, warmup: int, end: int) -> float:
    if it < warmup:
        return top * it / warmup
    part = min((it - warmup) / max(end - warmup, 1), 1.0)
    return bottom + (top - bottom) * math.cos(part * math.pi / 2) ** 2
