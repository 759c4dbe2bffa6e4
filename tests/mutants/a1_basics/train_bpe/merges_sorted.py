"""Returns the merges in alphabetical order: their order is what the encoder replays."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_worked_example"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    return vocab, sorted(merges)
