"""Joins the whole iterable first: files larger than memory, and streams, cannot be encoded."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_encode_iterable_is_lazy"


class Wrong(bpe_fast.Tokenizer):
    def encode_iterable(self, iterable):
        yield from self.encode("".join(iterable))


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
