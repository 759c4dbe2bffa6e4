"""Knows one special token by name: text from a user can end the document."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_without_special_tokens_marks_are_text"


def get_tokenizer(vocab, merges, special_tokens=None):
    return bpe_fast.Tokenizer(vocab, merges, list({*(special_tokens or []), "<|endoftext|>"}))
