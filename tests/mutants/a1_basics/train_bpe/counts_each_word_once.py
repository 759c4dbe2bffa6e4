"""Keeps the set of pre-tokens and forgets how often each occurs."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_a_word_counts_as_often_as_it_occurs"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    counted = count_pretokens(Path(input_path).read_bytes().decode(), SpecialTokens(special_tokens))
    cut = "<|cut|>"
    _vocab, merges = train_on(cut.join([*counted, ""]), vocab_size - len(special_tokens) + 1, [cut])
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens + [left + right for left, right in merges])), merges
