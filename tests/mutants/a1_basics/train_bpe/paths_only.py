"""Calls a method of its argument: programs that pass the path as a string get an AttributeError."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_path_may_be_a_string"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return bpe_fast.train_bpe(input_path.resolve(), vocab_size, special_tokens)
