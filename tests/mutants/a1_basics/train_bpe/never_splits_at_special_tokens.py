"""Special tokens get an id, but their text is merged into like any other: the end-of-text mark eats merges."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_are_never_merged_into"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    _vocab, merges = bpe_fast.train_bpe(input_path, vocab_size - len(special_tokens), [])
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens + [left + right for left, right in merges])), merges
