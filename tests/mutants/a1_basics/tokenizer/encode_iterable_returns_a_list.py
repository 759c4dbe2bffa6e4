"""Encodes chunk by chunk, but into a list that it returns at the end."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_encode_iterable_is_lazy"


class Wrong(bpe_fast.Tokenizer):
    def encode_iterable(self, iterable):
        return list(super().encode_iterable(iterable))


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
