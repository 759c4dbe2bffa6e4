"""Stops at pairs that occur once: fewer merges than asked for while pairs are left."""

from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_stops_when_no_pair_is_left"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_pretokens(Path(input_path).read_bytes().decode(), special)
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in counted.items()}
    merges = []
    while len(vocab) < vocab_size and (pairs := bpe.count_pairs(words)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {bpe.merge_pair(word, best): count for word, count in words.items()}
    return vocab, merges
