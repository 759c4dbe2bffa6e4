"""Of pairs with equal counts, takes the one with the greatest ids: the youngest tokens, whatever they spell."""

from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_ties_on_random_text"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_pretokens(Path(input_path).read_bytes().decode(), special)
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in counted.items()}
    merges = []
    while len(vocab) < vocab_size and (pairs := bpe.count_pairs(words)):
        ids = {token: i for i, token in vocab.items()}
        best = max(pairs, key=lambda pair: (pairs[pair], [ids[token] for token in pair]))
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {bpe.merge_pair(word, best): count for word, count in words.items()}
    return vocab, merges
