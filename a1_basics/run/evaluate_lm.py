"""Measure a language model on held-out text, beside the counted bigram and, where it is known, the entropy floor."""

import dataclasses
import math
import sys
from typing import Any

import numpy as np

from a1_basics.configs import EVALUATE_LM, EvaluateLM
from shared.device import pick_device
from shared.doors.protocols import BasicsDoor, Evaluation
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import (
    Shards,
    read_checkpoint,
    read_corpus,
    read_shards,
    read_tokenizer,
    require_same_tokenizer,
    write_eval_report,
)

INPUTS = {"checkpoint": "Checkpoint", "shards": "Shards"}
OUTPUTS = {"report": "EvalReport"}

# The split of stories in which heroes want what no hero of their kind wants in training.
COMBINATIONS = "combinations"
COMBINATIONS_TOKENS = 20_000  # enough to show the gap to that text's floor, in a second or two

LARGEST_BIGRAM_VOCAB = 16_384  # the table has vocab x vocab entries: beyond, it would not fit into memory


def main(config: EvaluateLM) -> None:
    """Publish the EvalReport `config.name` and print it."""
    if not 0 < config.stride_fraction <= 1:
        raise ConfigError(f"stride_fraction={config.stride_fraction} must lie in (0, 1]")
    store = Store(config.store)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    if not config.shards and "shards" not in checkpoint.parents:
        raise ConfigError(f"{checkpoint} was not trained here, so say on what to measure it: --shards=NAME")
    source = store.open(config.shards or checkpoint.parents["shards"], "Shards")
    require_same_tokenizer(checkpoint, source)
    inputs = {"checkpoint": checkpoint.digest, "shards": source.digest}
    config = dataclasses.replace(config, **inputs)
    key = step_key("a1_basics.run.evaluate_lm", config, inputs, source_roots("a1_basics", config.impl))
    if already_made(store, key, config.name):
        return
    shards = read_shards(source)
    token_bytes = read_tokenizer(store.open(source.parents["tokenizer"], "Tokenizer")).token_bytes()
    corpus = read_corpus(store.open(source.parents["corpus"], "Corpus"))
    parts = door("a1_basics", config.impl)
    model_config, weights = read_checkpoint(checkpoint)
    model = parts.build_model(model_config)
    model.load_state_dict(weights)
    model.to(pick_device(config.device)).eval()
    with (
        store.draft(
            "EvalReport", config=recorded(config), parents=inputs, name=config.name, key=key
        ) as draft,
        progress(None, f"evaluate {config.name}", "batches") as bar,
    ):

        def measure(split: str, max_tokens: int) -> tuple[dict[str, Any], np.ndarray]:
            """The model's numbers and the floor of the same documents; and their tokens."""
            tokens, nats = shards.tokens(split)[: max_tokens or None], corpus.nats(split)
            if nats is not None:
                tokens, nats = whole_documents(tokens, nats, shards.end_of_text_id)
            found = parts.evaluate_model(
                model,
                tokens,
                token_bytes,
                model_config.context_length,
                config.batch_size,
                stride=max(1, round(model_config.context_length * config.stride_fraction)),
                on_batch=lambda done, total: bar.advance(1, note=f"of {total}"),
            )
            return summary(found) | floor(nats, token_bytes, tokens, found), tokens

        numbers, tokens = measure(config.split, config.max_tokens)
        report = {"split": config.split} | numbers | bigram(parts, shards, tokens, token_bytes)
        if config.split == "val" and COMBINATIONS in shards.splits:
            most = min(config.max_tokens or COMBINATIONS_TOKENS, COMBINATIONS_TOKENS)
            others, _ = measure(COMBINATIONS, most)
            report |= {f"{COMBINATIONS}_{name}": value for name, value in others.items()}
        write_eval_report(draft, report)
    show(report)
    print(draft.artifact)


def whole_documents(
    tokens: np.ndarray, nats: np.ndarray, end_of_text_id: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The documents that lie wholly in the tokens, and their nats; all tokens and no nats where none does."""
    [ends] = np.nonzero(tokens == end_of_text_id)
    return (tokens[: ends[-1] + 1], nats[: len(ends)]) if len(ends) else (tokens, None)


def summary(found: Evaluation) -> dict[str, Any]:
    """The model's own numbers."""
    return {
        "tokens": found.tokens,
        "bytes": found.num_bytes,
        "nats_per_token": found.nats_per_token,
        "bits_per_byte": found.bits_per_byte,
        "perplexity": math.exp(found.nats_per_token),
    }


def bigram(parts: BasicsDoor, shards: Shards, tokens: np.ndarray, token_bytes: np.ndarray) -> dict[str, Any]:
    """The same held-out tokens, predicted by the bigram counted on the training split."""
    if shards.vocab_size > LARGEST_BIGRAM_VOCAB:
        return {"bigram_nats_per_token": None, "bigram_bits_per_byte": None}
    model = parts.bigram_model(shards.tokens("train"), shards.vocab_size)
    found = parts.evaluate_model(model, tokens, token_bytes, context_length=128, batch_size=16)
    return {"bigram_nats_per_token": found.nats_per_token, "bigram_bits_per_byte": found.bits_per_byte}


def floor(
    nats: np.ndarray | None, token_bytes: np.ndarray, tokens: np.ndarray, found: Evaluation
) -> dict[str, float | None]:
    """The entropy of the documents measured, which no model can beat on average; unknown for text that people wrote.

    `nats` are those of the documents that `tokens` hold.
    """
    if nats is None:
        return {"floor_bits_per_byte": None, "floor_nats_per_token": None}
    nats_per_byte = math.fsum(nats) / int(token_bytes[tokens].sum())
    return {
        "floor_bits_per_byte": nats_per_byte / math.log(2),
        "floor_nats_per_token": nats_per_byte * found.num_bytes / found.tokens,
    }


def show(report: dict[str, Any]) -> None:
    """Print the rows that belong together."""
    print(f"{report['split']}: {report['tokens']:,} tokens, {report['bytes']:,} bytes")
    show_row("counted bigram", report, "bigram_")
    show_row("this model", report, "")
    show_row("entropy floor", report, "floor_")
    if f"{COMBINATIONS}_tokens" in report:
        print(
            f"{COMBINATIONS}: {report[f'{COMBINATIONS}_tokens']:,} tokens of stories unlike any in training"
        )
        show_row("this model", report, f"{COMBINATIONS}_")
        show_row("entropy floor", report, f"{COMBINATIONS}_floor_")


def show_row(label: str, report: dict[str, Any], prefix: str) -> None:
    """One row, where it is known."""
    nats, bits = report[f"{prefix}nats_per_token"], report[f"{prefix}bits_per_byte"]
    if nats is not None:
        print(f"  {label:<15} {nats:.4f} nats per token   {bits:.4f} bits per byte")


if __name__ == "__main__":
    sys.exit(run_program(main, EVALUATE_LM, inputs=INPUTS, outputs=OUTPUTS))
