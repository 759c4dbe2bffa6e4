"""Normalizes the text before it counts: e followed by an accent is not what the file holds."""

import tempfile
import unicodedata
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_pretokens_follow_gpt2"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    text = Path(input_path).read_bytes().decode()
    return train_on(unicodedata.normalize("NFC", text), vocab_size, special_tokens)
