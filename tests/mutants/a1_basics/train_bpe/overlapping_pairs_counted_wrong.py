"""Updates the counts around each occurrence as if its neighbours were not glued in the same step: wrong in runs."""

from pathlib import Path

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, count_pretokens

REJECTED_BY = "test_overlapping_pairs"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    counted = count_pretokens(Path(input_path).read_bytes().decode(), special)
    words = [(tuple(bytes([b]) for b in word.encode()), count) for word, count in counted.items()]
    pairs = bpe.count_pairs(dict(words))
    merges = []
    while len(vocab) < vocab_size and pairs and max(pairs.values()) > 0:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        new = best[0] + best[1]
        for k, (word, count) in enumerate(words):
            merged, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    if i > 0:
                        pairs[word[i - 1], word[i]] -= count
                        pairs[word[i - 1], new] += count
                    if i + 2 < len(word):
                        pairs[word[i + 1], word[i + 2]] -= count
                        pairs[new, word[i + 2]] += count
                    merged.append(new)
                    i += 2
                else:
                    merged.append(word[i])
                    i += 1
            words[k] = (tuple(merged), count)
        del pairs[best]
        merges.append(best)
        vocab[len(vocab)] = new
    return vocab, merges
