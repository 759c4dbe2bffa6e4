"""Puts special tokens into a regular expression unescaped: '[SEP]' becomes 'any of S, E, P'."""

import re
import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_are_never_merged_into"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    text = Path(input_path).read_bytes().decode()
    if special_tokens:
        text = "<|cut|>".join(re.split("|".join(special_tokens), text))
    _vocab, merges = train_on(text, vocab_size - len(special_tokens) + 1, ["<|cut|>"])
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens + [left + right for left, right in merges])), merges
