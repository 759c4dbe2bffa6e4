"""Strips the white space beside special tokens."""

import re

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_text_beside_special_tokens"


class Wrong(bpe_fast.Tokenizer):
    def encode(self, text):
        for token in self.special_tokens:
            text = re.sub(rf"\s*{re.escape(token)}\s*", lambda _, token=token: token, text)
        return super().encode(text)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
