"""Byte-pair encoding, as slowly and as plainly as it can be said: the twin that graded tests compare with.

Training counts every pair anew for every merge. Encoding walks through all merges, in order, for every word.
The pre-token pattern is the one that GPT-2 published, alternative by alternative.
"""

from collections import Counter
from functools import cache

import regex

PATTERN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

Merge = tuple[bytes, bytes]


def split_at_special(text: str, special_tokens: list[str]) -> list[tuple[str, bool]]:
    """(piece, is_special), by trying every special token, longest first, at every character."""
    pieces: list[tuple[str, bool]] = []
    longest_first = sorted(special_tokens, key=len, reverse=True)
    start = i = 0
    while i < len(text):
        token = next((t for t in longest_first if text.startswith(t, i)), None)
        if token is None:
            i += 1
            continue
        pieces += [(text[start:i], False), (token, True)]
        start = i = i + len(token)
    pieces.append((text[start:], False))
    return [(piece, special) for piece, special in pieces if piece]


def words(text: str, special_tokens: list[str]) -> list[str]:
    """All pre-tokens between the special tokens, in order."""
    plain = [piece for piece, special in split_at_special(text, special_tokens) if not special]
    return [word for piece in plain for word in PATTERN.findall(piece)]


def as_bytes(word: str) -> tuple[bytes, ...]:
    """The word as single bytes."""
    return tuple(bytes([byte]) for byte in word.encode("utf-8"))


def glue(word: tuple[bytes, ...], left: bytes, right: bytes) -> tuple[bytes, ...]:
    """The word with each `left`, `right` glued, from the left."""
    glued: list[bytes] = []
    for symbol in word:
        if symbol == right and glued and glued[-1] == left:
            glued[-1] = left + right
        else:
            glued.append(symbol)
    return tuple(glued)


def count_pairs(counted_words: dict[tuple[bytes, ...], int]) -> dict[Merge, int]:
    """How often each two symbols are neighbours."""
    pairs: dict[Merge, int] = {}
    for word, count in counted_words.items():
        for i in range(len(word) - 1):
            pair = (word[i], word[i + 1])
            pairs[pair] = pairs.get(pair, 0) + count
    return pairs


def train(text: str, num_merges: int, special_tokens: list[str]) -> list[Merge]:
    """At most `num_merges` merges: always the most frequent pair; of equal ones the greatest, as bytes."""
    counted = {as_bytes(word): count for word, count in Counter(words(text, special_tokens)).items()}
    merges: list[Merge] = []
    while len(merges) < num_merges:
        pairs = count_pairs(counted)
        if not pairs:
            break
        _, best = max((count, pair) for pair, count in pairs.items())
        merges.append(best)
        counted = {glue(word, *best): count for word, count in counted.items()}
    return merges


def encode_to_tokens(text: str, merges: list[Merge], special_tokens: list[str]) -> list[bytes]:
    """The text as tokens: every merge, in order of creation, over every word."""

    @cache
    def encode_word(word: str) -> tuple[bytes, ...]:
        symbols = as_bytes(word)
        for left, right in merges:
            if len(symbols) > 1:
                symbols = glue(symbols, left, right)
        return symbols

    tokens: list[bytes] = []
    for piece, special in split_at_special(text, special_tokens):
        if special:
            tokens.append(piece.encode("utf-8"))
        else:
            tokens += [token for word in PATTERN.findall(piece) for token in encode_word(word)]
    return tokens
