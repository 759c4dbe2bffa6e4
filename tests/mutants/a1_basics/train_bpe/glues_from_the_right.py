"""Glues from the right: 'aaa' becomes 'a', 'aa', and what the encoder does from the left finds other pairs."""

from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_overlapping_pairs"


def glue(word, pair):
    turned = bpe.merge_pair([part[::-1] for part in reversed(word)], (pair[1][::-1], pair[0][::-1]))
    return tuple(part[::-1] for part in reversed(turned))


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_pretokens(Path(input_path).read_bytes().decode(), special)
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in counted.items()}
    merges = []
    while len(vocab) < vocab_size and (pairs := bpe.count_pairs(words)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {glue(word, best): count for word, count in words.items()}
    return vocab, merges
