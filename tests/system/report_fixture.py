"""A small store with one finished run in it, written directly: no training, the same digests every time."""

import math
from pathlib import Path
from typing import Any

import torch

from shared.doors.protocols import ModelConfig
from shared.store.artifacts import Store
from shared.store.kinds import (
    ShardWriter,
    trained_tokenizer,
    write_checkpoint,
    write_corpus,
    write_eval_report,
    write_run_log,
    write_samples,
    write_tokenizer,
)

EVIL = "<script>document.title = 'owned'</script> & <b>bold</b>"
MODEL = ModelConfig(vocab_size=260, context_length=16, d_model=8, num_layers=1, num_heads=2, d_ff=16)
JOB: dict[str, Any] = {
    "model": {"vocab_size": 260, "tied_embeddings": False},
    "steps": 100,
    "batch_size": 4,
    "max_learning_rate": 1e-3,
    "min_learning_rate": 1e-4,
    "warmup_steps": 5,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "clip_norm": 1.0,
    "seed": 0,
}
REPORT: dict[str, Any] = {
    "split": "val",
    "tokens": 1000,
    "bytes": 2500,
    "nats_per_token": 2.0,
    "bits_per_byte": 1.154,
    "bigram_nats_per_token": 3.0,
    "bigram_bits_per_byte": 1.731,
    "floor_nats_per_token": 1.5,
    "floor_bits_per_byte": 0.866,
}


def run_store(
    root: Path, *, rate: float = 1000.0, report: dict[str, Any] = REPORT, name: str = "base"
) -> Store:
    """Corpus, Tokenizer, Shards, Checkpoint, RunLog, EvalReport and Samples, all named `name`."""
    store = Store(root)
    with store.draft("Corpus", config={"kind": "text"}, parents={}, name=name) as corpus:
        write_corpus(corpus, {"train": ["the end"], "val": [f"the {EVIL} é\n\tend"]})
    vocab = {index: bytes([index]) for index in range(256)} | {256: b"th", 257: b"the", 258: b" e"}
    merges = [(b"t", b"h"), (b"th", b"e"), (b" ", b"e")]
    special = ["<|endoftext|>"]
    with store.draft(
        "Tokenizer", config={"vocab_size": 260}, parents={"corpus": corpus.artifact.digest}, name=name
    ) as tokenizer:
        files = trained_tokenizer(vocab | {259: special[0].encode()}, merges, special)
        write_tokenizer(tokenizer, files)
    parents = {"tokenizer": tokenizer.artifact.digest, "corpus": corpus.artifact.digest}
    with (
        store.draft("Shards", config={}, parents=parents, name=name) as shards,
        ShardWriter(shards, vocab_size=260, end_of_text_id=259) as writer,
    ):
        writer.write("train", [257, 259])
    parents = {"tokenizer": tokenizer.artifact.digest, "shards": shards.artifact.digest}
    with store.draft("Checkpoint", config=JOB, parents=parents, name=name) as checkpoint:
        write_checkpoint(checkpoint, MODEL, {"weight": torch.zeros(2)})
        checkpoint.cost_seconds = 120_000 / rate
    made_from = {"checkpoint": checkpoint.artifact.digest}
    records = [
        {
            "step": step,
            "loss_nats": 2 + 4 * math.exp(-step / 20),
            "learning_rate": 1e-3 * step / 100,
            "gradient_norm": 1 / step,
            "tokens_per_second": rate + step,
            **({"validation_loss_nats": 2.1} if step % 25 == 0 else {}),
        }
        for step in range(1, 101)
    ]
    with store.draft("RunLog", config=JOB, parents=made_from, name=name) as log:
        write_run_log(log, records, JOB)
    with store.draft("EvalReport", config={}, parents=made_from, name=name) as evaluation:
        write_eval_report(evaluation, report)
    drawn = {"temperature": 0.8, "top_k": None, "top_p": 0.95, "seed": 1, "finish_reason": "length"}
    with store.draft("Samples", config={"prompts": ["", EVIL]}, parents=made_from, name=name) as samples:
        texts = [EVIL, "x" * 5000, *(f"story {index}" for index in range(10))]
        write_samples(samples, [{"prompt": EVIL, "text": text, **drawn} for text in texts])
    return store
