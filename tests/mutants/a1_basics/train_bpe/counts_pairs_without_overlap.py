"""Counts (a, a) once in 'aaa', as often as it could be glued; the rules count neighbours, so twice."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_overlapping_pairs"


def count_pairs(words):
    pairs = Counter()
    for word, count in words.items():
        last = {}
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1 or pair[0] != pair[1]:
                pairs[pair] += count
                last[pair] = i
    return pairs


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_pretokens(Path(input_path).read_bytes().decode(), special)
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in counted.items()}
    merges = []
    while len(vocab) < vocab_size and (pairs := count_pairs(words)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {bpe.merge_pair(word, best): count for word, count in words.items()}
    return vocab, merges
