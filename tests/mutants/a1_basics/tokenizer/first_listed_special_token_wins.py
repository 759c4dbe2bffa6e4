"""Tries special tokens in the order of the caller's list: a longer one behind its own prefix is never found."""

import re

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_of_overlapping_special_tokens_the_longest_wins"


class Wrong(bpe_fast.Tokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.plain = bpe_fast.Tokenizer(vocab, merges, None)
        self.special_ids = {token: super(Wrong, self).encode(token)[0] for token in special_tokens or []}
        self.pattern = re.compile("(" + "|".join(map(re.escape, special_tokens or [])) + ")")

    def encode(self, text):
        ids = []
        for piece in self.pattern.split(text) if self.special_ids else [text]:
            if piece:
                ids += [self.special_ids[piece]] if piece in self.special_ids else self.plain.encode(piece)
        return ids


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
