"""Reads with 'utf-8-sig': three bytes of the file are gone, and the first word keeps other company."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_pretokens_follow_gpt2"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_on(Path(input_path).read_bytes().decode("utf-8-sig"), vocab_size, special_tokens)
