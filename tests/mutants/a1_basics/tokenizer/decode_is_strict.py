"""Raises on bytes that are no character: sampling ends with an exception in the middle of an emoji."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_decode_marks_what_is_no_text"


class Wrong(bpe_fast.Tokenizer):
    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="strict")


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
