"""Starts from the bytes that the corpus holds, not from all 256: other texts cannot be encoded."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_vocabulary_ids"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    with open(input_path, "rb") as file:
        seen = sorted(set(file.read()))
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    tokens = [bytes([b]) for b in seen] + [vocab[i] for i in range(256, len(vocab))]
    return dict(enumerate(tokens)), merges
