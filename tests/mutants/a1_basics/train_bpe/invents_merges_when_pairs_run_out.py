"""Takes the greatest of all pairs that were ever seen, even when none is left: merges that occur nowhere."""

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_stops_when_no_pair_is_left"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    vocab, merges = bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    while merges and len(vocab) < vocab_size:
        merges.append(max(merges))
        vocab[len(vocab)] = b"".join(merges[-1])
    return vocab, merges
