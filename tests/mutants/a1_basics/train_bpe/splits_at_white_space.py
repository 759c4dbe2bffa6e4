"""Pre-tokens are what str.split gives: spaces and line ends vanish, and signs stick to words."""

import re
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
    cut = "<|cut|>"
    text = Path(input_path).read_bytes().decode()
    for token in sorted(special_tokens, key=len, reverse=True):
        text = text.replace(token, cut)
    text = re.sub(r"\s+", cut, text)
    _vocab, merges = train_on(text, vocab_size - len(special_tokens) + 1, [cut])
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens + [left + right for left, right in merges])), merges
