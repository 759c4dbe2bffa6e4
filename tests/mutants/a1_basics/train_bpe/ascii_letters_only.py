"""Takes A to Z for all letters there are: accents, Cyrillic and Korean are cut as signs."""

import re
from collections import Counter
from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens

REJECTED_BY = "test_pretokens_follow_gpt2"


PATTERN = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def count_words(text, special):
    pieces = [piece for piece, is_special in special.split(text) if not is_special]
    return Counter(word for piece in pieces for word in PATTERN.findall(piece))


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_words(Path(input_path).read_bytes().decode(), special)
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in counted.items()}
    merges = []
    while len(vocab) < vocab_size and (pairs := bpe.count_pairs(words)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {bpe.merge_pair(word, best): count for word, count in words.items()}
    return vocab, merges
