"""Byte-pair encoding in numpy: one array of symbols for all words; each merge is a few array operations."""

from collections import Counter
from pathlib import Path

import numpy as np
import regex

SOLVES = ("train_bpe", "tokenizer")

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
BASE = 1 << 20


def both_patterns(special_tokens):
    """One regular expression for all: a special token, or a pre-token that stops before the next special token."""
    names = "|".join(map(regex.escape, sorted(special_tokens, key=len, reverse=True))) or "(?!)"
    return regex.compile(rf"(?P<special>{names})|(?P<text>(?:(?!{names})(?s:.))+)")


def glue_everywhere(symbols, left, right, new):
    """Replace each (left, right) by new, from the left; in a run of one symbol, every second place."""
    at = np.flatnonzero((symbols[:-1] == left) & (symbols[1:] == right))
    if left == right and len(at):
        run = np.cumsum(np.r_[0, np.diff(at) != 1])
        first = at[np.r_[True, np.diff(run) != 0]]
        at = at[(at - first[run]) % 2 == 0]
    symbols = symbols.copy()
    symbols[at] = new
    return np.delete(symbols, at + 1), at + 1


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    tokens = [bytes([b]) for b in range(256)] + [token.encode() for token in special_tokens]
    if vocab_size < len(tokens):
        raise ValueError("vocab_size is too small")
    text = Path(input_path).read_bytes().decode()
    parts = [m.group("text") for m in both_patterns(special_tokens).finditer(text) if m.group("text")]
    counted = Counter(word for part in parts for word in regex.findall(PATTERN, part))
    # -1 parts the words.
    symbols = np.array([s for word in counted for s in (*word.encode(), -1)], dtype=np.int64)
    weights = np.array([c for word, c in counted.items() for _ in (*word.encode(), -1)], dtype=np.float64)
    merges = []
    while len(tokens) < vocab_size:
        inside = (symbols[:-1] >= 0) & (symbols[1:] >= 0)
        codes, index = np.unique((symbols[:-1] * BASE + symbols[1:])[inside], return_inverse=True)
        if not len(codes):
            break
        counts = np.bincount(index, weights=weights[:-1][inside])
        ties = codes[counts == counts.max()].tolist()
        left, right = max((divmod(c, BASE) for c in ties), key=lambda p: (tokens[p[0]], tokens[p[1]]))
        symbols, gone = glue_everywhere(symbols, left, right, len(tokens))
        weights = np.delete(weights, gone)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    return dict(enumerate(tokens)), merges


class ArrayTokenizer:
    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab = dict(vocab)
        self.special = [*(special_tokens or [])]
        new = [t.encode() for t in self.special if t.encode() not in set(vocab.values())]
        self.vocab.update(enumerate(new, len(vocab)))
        self.ids = {token: i for i, token in self.vocab.items()}
        self.cut = both_patterns(self.special)
        self.rank = {(self.ids[a], self.ids[b]): k for k, (a, b) in enumerate(merges)}
        self.made = [self.ids[a + b] for a, b in merges]
        self.known = {}

    def word(self, word):
        """Merge all words' lowest rank first; words are remembered as tuples."""
        if (ids := self.known.get(word)) is None:
            ids = np.array([self.ids[bytes([b])] for b in word.encode()])
            while len(ids) > 1:
                pairs = set(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True)) & self.rank.keys()
                if not pairs:
                    break
                best = min(pairs, key=self.rank.__getitem__)
                ids, _ = glue_everywhere(ids, *best, self.made[self.rank[best]])
            ids = self.known[word] = tuple(ids.tolist())
        return ids

    def encode(self, text):
        ids = []
        for match in self.cut.finditer(text):
            if match.group("special"):
                ids.append(self.ids[match.group().encode()])
            else:
                for word in regex.findall(PATTERN, match.group()):
                    ids.extend(self.word(word))
        return ids

    def encode_iterable(self, iterable):
        """Encode up to a line that begins with a letter after one that ends in a letter, where nothing can cross."""
        pending = []
        for chunk in iterable:
            pending.append(chunk)
            if "\n" not in chunk and sum(map(len, pending)) < 10_000:
                continue
            text = "".join(pending)
            reach = max(map(len, self.special), default=0)
            for match in regex.finditer(r"(?r)(?<=\w)(?=\s)", text, endpos=max(0, len(text) - reach)):
                near = text[max(0, match.start() - reach) : match.start() + reach]
                if not any(token in near for token in self.special):
                    yield from self.encode(text[: match.start()])
                    text = text[match.start() :]
                    break
            pending = [text]
        yield from self.encode("".join(pending))

    def decode(self, ids):
        return bytes(byte for i in ids for byte in self.vocab[i]).decode("utf-8", "replace")


def get_tokenizer(vocab, merges, special_tokens=None):
    return ArrayTokenizer(vocab, merges, special_tokens)
