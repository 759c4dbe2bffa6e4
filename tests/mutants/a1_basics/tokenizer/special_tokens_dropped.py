"""Splits at special tokens and encodes only what lies between them: documents run into each other."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_are_single_ids"


class Wrong(bpe_fast.Tokenizer):
    def encode(self, text):
        special = {token.encode() for token in self.special_tokens}
        return [i for i in super().encode(text) if self.vocab[i] not in special]


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
