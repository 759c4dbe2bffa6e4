"""Evaluation of a checkpoint: model, bigram and floor are measured on the same documents."""

import dataclasses
import math

import pytest
import torch

from a1_basics import adapters
from a1_basics.configs import EvaluateLM
from a1_basics.run import evaluate_lm
from shared.doors.protocols import ModelConfig
from shared.store.artifacts import Store
from shared.store.kinds import (
    ShardWriter,
    read_eval_report,
    trained_tokenizer,
    write_checkpoint,
    write_corpus,
    write_tokenizer,
)

MODEL = ModelConfig(vocab_size=257, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)
CHEAP, DEAR = ("abcd" * 5, 2.0), ("dcba" * 5, 50.0)  # text and its nats
SPLITS = {"train": [CHEAP] * 5, "val": [CHEAP] * 4 + [DEAR] * 8, "combinations": [DEAR] * 3}


def settings(root, splits):
    """A store with everything that leads to a checkpoint 'base' of fresh weights, and the settings to evaluate it."""
    store = Store(root)
    with store.draft("Corpus", config={}, parents={}) as corpus:
        write_corpus(corpus, splits)
    with store.draft("Tokenizer", config={}, parents={}) as tokenizer:
        vocab = {index: bytes([index]) for index in range(256)} | {256: b"<|endoftext|>"}
        write_tokenizer(tokenizer, trained_tokenizer(vocab, [], ["<|endoftext|>"]))
    parents = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.artifact.digest}
    with (
        store.draft("Shards", config={}, parents=parents) as shards,
        ShardWriter(shards, vocab_size=257, end_of_text_id=256) as writer,
    ):
        for split, documents in splits.items():
            for text, _ in documents:
                writer.write(split, [*text.encode(), 256], num_bytes=len(text))
    parents = {"tokenizer": tokenizer.artifact.digest, "shards": shards.artifact.digest}
    torch.manual_seed(0)
    with store.draft("Checkpoint", config={}, parents=parents, name="base") as draft:
        write_checkpoint(draft, MODEL, adapters.build_model(MODEL).state_dict())
    return EvaluateLM(device="cpu", store=root)


def evaluated(config):
    evaluate_lm.main(config)
    return read_eval_report(Store(config.store).open(config.name, "EvalReport"))


@pytest.mark.parametrize(
    ("max_tokens", "documents"), [(84, 4), (90, 4), (105, 5), (0, 12)], ids=["even", "cut", "mixed", "all"]
)
def test_the_floor_is_that_of_the_documents_measured(tmp_path, max_tokens, documents):
    report = evaluated(dataclasses.replace(settings(tmp_path, SPLITS), max_tokens=max_tokens))
    measured = SPLITS["val"][:documents]
    assert (
        report["tokens"] == 21 * documents - 1
    )  # whole documents, each with its end; the first has no context
    nats = sum(nats for _, nats in measured)
    assert report["floor_bits_per_byte"] == pytest.approx(nats / math.log(2) / (20 * documents), rel=1e-12)
    in_bits = report["floor_nats_per_token"] / math.log(2) * report["tokens"] / report["bytes"]
    assert in_bits == pytest.approx(report["floor_bits_per_byte"], rel=1e-12)


def test_a_document_that_never_ends_has_no_floor(tmp_path):
    report = evaluated(dataclasses.replace(settings(tmp_path, SPLITS), max_tokens=15))
    assert (report["tokens"], report["floor_bits_per_byte"]) == (14, None)


def test_held_out_combinations_stand_beside_val_as_if_measured_alone(tmp_path):
    config = settings(tmp_path, SPLITS)
    report = evaluated(config)
    alone = evaluated(dataclasses.replace(config, split="combinations", name="alone"))
    found = {
        name: report[f"combinations_{name}"] for name in ("tokens", "bytes", "bits_per_byte", "perplexity")
    }
    assert found == {name: alone[name] for name in found}
    assert report["combinations_floor_bits_per_byte"] == pytest.approx(2.5 / math.log(2), rel=1e-12)
    assert not any(name.startswith("combinations_") for name in alone)


def test_text_without_that_split_has_no_such_figures(tmp_path):
    report = evaluated(settings(tmp_path, {split: SPLITS[split] for split in ("train", "val")}))
    assert not any(name.startswith("combinations") for name in report)
