"""Encodes without cutting into pre-tokens: merges run across spaces and words."""

from a1_basics.tokenizers import bpe

REJECTED_BY = "test_encode_agrees_with_the_oracle"


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        return self._encode_word(text.encode())


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
