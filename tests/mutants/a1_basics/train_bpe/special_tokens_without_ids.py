"""Cuts special tokens out of the text and gives them no id: no document can be closed."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_worked_example"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    marks = [token.encode() for token in special_tokens]
    return dict(enumerate(token for token in vocab.values() if token not in marks)), merges
