"""Waits for a line end and cuts after it, though several line ends in a row are one pre-token."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_encode_iterable_equals_encode"


class Wrong(bpe_fast.Tokenizer):
    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            *lines, held = (held + chunk).split("\n")
            for line in lines:
                yield from self.encode(line + "\n")
        yield from self.encode(held)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
