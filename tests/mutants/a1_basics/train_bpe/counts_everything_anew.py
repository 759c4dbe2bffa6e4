"""Right merges, but all pairs of the corpus are counted again for each of them."""

from a1_basics.tokenizers import bpe

REJECTED_BY = "test_many_merges_and_speed"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return bpe.train_bpe(input_path, vocab_size, special_tokens)
