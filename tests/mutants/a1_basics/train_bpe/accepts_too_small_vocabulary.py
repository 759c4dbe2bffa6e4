"""Returns more ids than were asked for when vocab_size leaves no room for bytes and special tokens."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_too_small_vocabulary_is_refused"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return bpe_fast.train_bpe(input_path, max(vocab_size, 256 + len(special_tokens)), special_tokens)
