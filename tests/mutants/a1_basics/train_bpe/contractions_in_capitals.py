"""Ignores case in contractions, as later tokenizers do: can'T is cut as no GPT-2 tokenizer cuts it."""

from collections import Counter
from pathlib import Path

import regex

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens

REJECTED_BY = "test_pretokens_follow_gpt2"


PATTERN = regex.compile(r"(?i:'(?:[sdmt]|ll|ve|re))| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


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
