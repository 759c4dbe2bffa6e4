"""Special tokens get the last ids, so that a larger vocabulary gives their ids to merges."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_vocabulary_ids"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    marks = [token.encode() for token in special_tokens]
    return dict(enumerate([token for token in vocab.values() if token not in marks] + marks)), merges
