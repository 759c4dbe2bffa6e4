"""Turns CRLF into LF before encoding."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_round_trip"


class Wrong(bpe_fast.Tokenizer):
    def encode(self, text):
        return super().encode(text.replace("\r\n", "\n"))


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
