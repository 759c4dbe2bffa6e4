"""Reads each token as UTF-8 alone: a character that is spread over tokens becomes U+FFFD."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_decode_joins_bytes_before_reading_them"


class Wrong(bpe_fast.Tokenizer):
    def decode(self, ids):
        return "".join(self.vocab[i].decode("utf-8", errors="replace") for i in ids)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
