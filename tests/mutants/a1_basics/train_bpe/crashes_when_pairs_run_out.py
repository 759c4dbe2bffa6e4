"""Takes the maximum of an empty count when every pre-token has become one token."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_stops_when_no_pair_is_left"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    if len(vocab) < vocab_size:
        max([])
    return vocab, merges
