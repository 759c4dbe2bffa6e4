"""Makes one merge less than there is room for: the last row of the embedding is never used."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_worked_example"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    smallest = 256 + len(special_tokens)
    size = vocab_size - 1 if vocab_size > smallest else vocab_size
    return bpe_fast.train_bpe(input_path, size, special_tokens)
