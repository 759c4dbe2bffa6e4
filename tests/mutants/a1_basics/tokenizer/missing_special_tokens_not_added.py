"""Special tokens that the vocabulary lacks are no special tokens: they are encoded as text."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_missing_special_tokens_get_new_ids"


def get_tokenizer(vocab, merges, special_tokens=None):
    known = [token for token in special_tokens or [] if token.encode() in vocab.values()]
    return bpe_fast.Tokenizer(vocab, merges, known)
