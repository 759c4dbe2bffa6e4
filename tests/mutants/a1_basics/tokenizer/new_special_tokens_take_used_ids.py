"""Gives a new special token the id len(vocab) - 1, which the last merge has: an off-by-one that eats a token."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_missing_special_tokens_get_new_ids"


def get_tokenizer(vocab, merges, special_tokens=None):
    vocab = dict(vocab)
    for token in special_tokens or []:
        if token.encode() not in vocab.values():
            vocab[len(vocab) - 1] = token.encode()
    kept = set(vocab.values())
    return bpe_fast.Tokenizer(vocab, [m for m in merges if {*m, m[0] + m[1]} <= kept], special_tokens)
