"""Takes vocab_size for the bytes and merges, and adds the special tokens on top."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_smallest_vocabulary_has_no_merges"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return bpe_fast.train_bpe(input_path, vocab_size + len(special_tokens), special_tokens)
