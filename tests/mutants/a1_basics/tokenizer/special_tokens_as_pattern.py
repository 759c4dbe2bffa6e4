"""Special tokens are put into a regular expression unescaped: '<|a|>' matches '<', 'a' or '>'."""

import re

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_are_single_ids"


class Wrong(bpe_fast.Tokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.plain = bpe_fast.Tokenizer(vocab, merges, None)
        self.special_ids = {token: super(Wrong, self).encode(token)[0] for token in special_tokens or []}

    def encode(self, text):
        ids, start = [], 0
        for match in re.finditer("|".join(sorted(self.special_ids, key=len, reverse=True)) or "(?!)", text):
            ids += self.plain.encode(text[start : match.start()])
            ids += [self.special_ids[match.group()]] if match.group() in self.special_ids else []
            start = match.end()
        return ids + self.plain.encode(text[start:])


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
