"""One name is built in: whatever else the caller calls special is counted as text."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_special_tokens_are_never_merged_into"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    others = [token for token in special_tokens if token != "<|endoftext|>"]
    known = [token for token in special_tokens if token == "<|endoftext|>"]
    _vocab, merges = bpe_fast.train_bpe(input_path, vocab_size - len(others), known)
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens + [left + right for left, right in merges])), merges
