"""Reads blocks of fixed size and decodes each with errors='ignore': characters at the cuts are lost in silence."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_long_file_without_special_tokens_is_read_whole"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    data = Path(input_path).read_bytes()
    blocks = [data[i : i + 10_000].decode("utf-8", errors="ignore") for i in range(0, len(data), 10_000)]
    return train_on("".join(blocks), vocab_size, special_tokens)
