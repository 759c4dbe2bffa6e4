"""Cuts at spaces only, as if no special token could lie across chunks or hold a space."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_encode_iterable_equals_encode"


class Wrong(bpe_fast.Tokenizer):
    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            cuts = [i for i in range(1, len(held)) if held[i].isspace() and not held[i - 1].isspace()]
            if cuts:
                yield from self.encode(held[: cuts[-1]])
                held = held[cuts[-1] :]
        yield from self.encode(held)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
