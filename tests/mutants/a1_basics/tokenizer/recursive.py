"""Calls itself for every merge: a run of a thousand signs ends in a RecursionError."""

import itertools

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import pretokens

REJECTED_BY = "test_long_runs"


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        known = {token: i for i, token in self.vocab.items()}
        return [
            i for w in pretokens(text) for i in self.glued(known, [known[bytes([b])] for b in w.encode()])
        ]

    def glued(self, known, ids):
        pairs = [(self.vocab[a], self.vocab[b]) for a, b in itertools.pairwise(ids)]
        best = min(pairs, key=lambda pair: self._ranks.get(pair, 10**9), default=None)
        if best not in self._ranks:
            return ids
        at = pairs.index(best)
        return self.glued(known, [*ids[:at], known[best[0] + best[1]], *ids[at + 2 :]])


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
