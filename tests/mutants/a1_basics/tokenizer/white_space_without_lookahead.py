"""Leaves out the lookahead of the pattern, so that the last space before a word no longer joins it."""

import regex

from a1_basics.tokenizers import bpe

REJECTED_BY = "test_encode_agrees_with_the_oracle"


PATTERN = r"""'(?:[sdmt]|ll|ve|re)|\s+| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"""


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        return [i for word in regex.findall(PATTERN, text) for i in self._encode_word(word.encode())]


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
