"""Returns merges as pairs of ids: nothing that reads GPT-2's format can use them."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_worked_example"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    ids = {token: i for i, token in vocab.items()}
    return vocab, [(ids[left], ids[right]) for left, right in merges]
