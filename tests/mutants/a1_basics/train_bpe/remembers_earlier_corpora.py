"""Keeps its text between calls: every corpus is trained together with those before it."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_runs_do_not_remember_one_another"


SEEN = []


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    SEEN.append(Path(input_path).read_bytes().decode())
    return train_on(" ".join(SEEN), vocab_size, special_tokens)
