"""Brings text into a normal form first: what comes back is not what went in."""

import unicodedata

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_round_trip"


class Wrong(bpe_fast.Tokenizer):
    def encode(self, text):
        return super().encode(unicodedata.normalize("NFC", text))


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
