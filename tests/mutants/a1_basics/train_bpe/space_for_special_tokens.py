"""Puts a space in the place of each special token: white space that the text does not have."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_part_the_text"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    text = Path(input_path).read_bytes().decode()
    for token in sorted(special_tokens, key=len, reverse=True):
        text = text.replace(token, " ")
    return train_on(text, vocab_size, special_tokens)
