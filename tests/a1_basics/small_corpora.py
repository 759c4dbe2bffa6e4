"""Corpora small enough for a slow trainer, and the comparison with its merges.

Merges are compared exactly, because every one of them is fixed by the rules: the most frequent pair, of equal ones the
greatest.
"""

import random
from pathlib import Path

from tests.harness.explain import expect, expect_equal
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
WHY_MERGES = (
    "the merges are the tokenizer: from the first one that differs, texts get other tokens than with any "
    "correct trainer, and models and data made with one cannot be used with the other"
)


def train(adapters, folder: Path, text: str | bytes, vocab_size: int, special_tokens: list[str]):
    """Call the learner's trainer on a file with this text; check the types of what comes back."""
    path = folder / "corpus.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    result = adapters.run_train_bpe(
        input_path=path, vocab_size=vocab_size, special_tokens=list(special_tokens)
    )
    expect(
        isinstance(result, tuple) and len(result) == 2,
        what="run_train_bpe returns a tuple (vocab, merges)",
        why="callers unpack it",
        counterexample=f"got {type(result).__name__}",
    )
    vocab, merges = result
    expect(
        isinstance(vocab, dict) and isinstance(merges, list),
        what="vocab is a dict (id -> bytes) and merges a list of (bytes, bytes) in order of creation",
        why="the tokenizer is built from them",
        counterexample=f"got vocab: {type(vocab).__name__}, merges: {type(merges).__name__}",
    )
    return vocab, merges


def expect_merges(adapters, folder, text, num_merges, special_tokens=(), *, what, why=WHY_MERGES) -> None:
    """Train, and compare the merges with the oracle's."""
    special_tokens = list(special_tokens)
    want = oracle.train(text, num_merges, special_tokens)
    _, got = train(adapters, folder, text, 256 + len(special_tokens) + num_merges, special_tokens)
    shown = text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"
    expect_equal(got, want, what=what, why=why, case=f"corpus {shown!r}, special tokens {special_tokens}")


def pseudo_text(num_words: int, seed: int) -> str:
    """Words of random syllables whose frequencies fall like those of a language, with numbers and signs."""
    rng = random.Random(seed)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "ou")]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(num_words // 4)]
    chosen = (lexicon[min(int(rng.paretovariate(0.35)) - 1, len(lexicon) - 1)] for _ in range(num_words))
    endings = rng.choices([" ", ", ", ".\n", " 17 ", "'s ", "! "], weights=[20, 3, 2, 1, 1, 1], k=num_words)
    return "".join(word + ending for word, ending in zip(chosen, endings, strict=True))
