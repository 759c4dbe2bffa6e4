"""Byte-pair encoding, told plainly: the teaching text, and the twin that `bpe_fast.py` has to agree with.

Training. Start from the 256 bytes, so that every text has an encoding. Count how often each two neighbouring
symbols stand side by side inside the pre-tokens, glue the most frequent pair into a new symbol, and repeat.
The glued pairs, in order, are the merges.

    pre-tokens   5 x "low", 2 x "lower", 6 x "newest", 3 x "widest"
    pairs        (e, s) 9   (s, t) 9   (w, e) 8   (l, o) 7   (o, w) 7   (n, e) 6   (e, w) 6 ...
    merge 1      (s, t): equal counts go to the greatest pair, and b"s" > b"e"
    merge 2      (e, st), 9 again, and so on

Encoding. Cut a text in the same way, then replay the merges on each pre-token, earliest learned first.

Ids. The vocabulary is the 256 bytes (byte b has id b), then the special tokens in the given order, then one
token per merge in the order of creation. A larger vocabulary therefore begins with the smaller one: training
on does not move the id of any byte, special token or earlier merge. (The public assignment leaves the order
open; GPT-2 itself put its special token last, so that its id depends on the vocabulary's size.)

Source: [sennrich-2016] algorithm 1; on bytes, [gpt2-2019] section 2.2.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Self

from a1_basics.tokenizers.endless import settled
from a1_basics.tokenizers.files import read_merges, read_vocab
from a1_basics.tokenizers.pretokenize import (
    SpecialTokens,
    clean_cut,
    corpus_bytes,
    count_pretokens,
    pretokens,
    read_text,
    stream_pieces,
)
from shared.errors import ConfigError, DataError

ENDLESS_CHARS = 1 << 14  # a pre-token of this length may be cut before its end has come
Vocab = dict[int, bytes]
Pair = tuple[bytes, bytes]
Merges = list[Pair]


def initial_vocab(vocab_size: int, special: SpecialTokens) -> Vocab:
    """The vocabulary before the first merge: 256 bytes and the special tokens.

    A special token of a single ASCII character is a byte already and gets no second id.

    Raises:
        ConfigError: `vocab_size` has no room for it.
    """
    vocab = {byte: bytes([byte]) for byte in range(256)}
    for token in special.tokens:
        data = token.encode("utf-8")
        if len(data) > 1:
            vocab[len(vocab)] = data
    if vocab_size < len(vocab):
        raise ConfigError(
            f"vocab_size={vocab_size} is too small: the 256 bytes and {len(vocab) - 256} special token(s) "
            f"need {len(vocab)} ids before the first merge. Ask for vocab_size={len(vocab)} or more."
        )
    return vocab


def train_bpe(
    input_path: str | os.PathLike[str], vocab_size: int, special_tokens: Sequence[str]
) -> tuple[Vocab, Merges]:
    """Learn at most `vocab_size` tokens from a text file; the merges come in order of creation.

    All pairs are counted anew for every merge, which is easy to believe and slow: use it below a megabyte.
    When every pre-token has become one symbol there is no pair left, and the vocabulary stays smaller than
    asked for.

    Raises:
        ConfigError: `vocab_size` is below 256 plus the special tokens.
        DataError: the file is missing, empty or not UTF-8.
    """
    special = SpecialTokens(special_tokens)
    vocab = initial_vocab(vocab_size, special)
    corpus_bytes(input_path)
    counts = count_pretokens(read_text(input_path), special)
    words = {tuple(bytes([b]) for b in word.encode("utf-8")): count for word, count in counts.items()}
    merges: Merges = []
    while len(vocab) < vocab_size:
        pairs = count_pairs(words)
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))  # ties: the greatest pair, compared as bytes
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
        words = {merge_pair(word, best): count for word, count in words.items()}
    return vocab, merges


def count_pairs(words: dict[tuple[bytes, ...], int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs; the pair (a, a) occurs three times in "aaaa"."""
    pairs: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            pairs[pair] += count
    return pairs


def merge_pair(word: Sequence[bytes], pair: Pair) -> tuple[bytes, ...]:
    """Glue every occurrence of `pair`, from the left: "aaa" with (a, a) becomes "aa", "a".

    >>> merge_pair((b"a", b"a", b"a"), (b"a", b"a"))
    (b'aa', b'a')
    """
    merged: list[bytes] = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


class Tokenizer:
    """Text to token ids and back, by a vocabulary and its merges.

    Special tokens that the vocabulary lacks get the next free ids. They are recognized everywhere in a text,
    the longest first, and are never split or merged into.

    Raises:
        ConfigError: a merge makes a token that is not in the vocabulary.
    """

    def __init__(self, vocab: Vocab, merges: Iterable[Pair], special_tokens: Sequence[str] | None = None):
        self.vocab: Vocab = dict(vocab)
        self.merges: Merges = [(left, right) for left, right in merges]
        self.special_tokens = list(dict.fromkeys(special_tokens or ()))
        self._special = SpecialTokens(self.special_tokens)
        self._ids = {self.vocab[i]: i for i in sorted(self.vocab, reverse=True)}  # twice in it: the lower id
        for token in self._special.tokens:
            data = token.encode("utf-8")
            if data not in self._ids:
                self._ids[data] = max(self.vocab, default=-1) + 1
                self.vocab[self._ids[data]] = data
        self._special_ids = {token: self._ids[token.encode("utf-8")] for token in self._special.tokens}
        for left, right in self.merges:
            if not {left, right, left + right} <= self._ids.keys():
                raise ConfigError(
                    f"the merge ({left!r}, {right!r}) needs {left + right!r} and its parts as tokens, "
                    "and not all are there. Load vocabulary and merges that were trained together."
                )
        self._ranks = {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}
        self._longest_bytes = max((len(left + right) for left, right in self.merges), default=1)

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike[str],
        merges_filepath: str | os.PathLike[str],
        special_tokens: Sequence[str] | None = None,
    ) -> Self:
        """Read a vocabulary and merges in GPT-2's file format, or in that of our Tokenizer artifacts.

        Raises:
            DataError: a file is missing or not of this form.
        """
        return cls(read_vocab(vocab_filepath), read_merges(merges_filepath), special_tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of a text.

        Raises:
            DataError: the vocabulary lacks a byte of the text.
        """
        ids: list[int] = []
        for piece, is_special in self._special.split(text):
            ids.extend([self._special_ids[piece]] if is_special else self._encode_plain(piece))
        return ids

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """The ids of the joined strings, one after another, in memory that does not grow with the text.

        A string may end in the middle of a word, of white space or of a special token: the ids are those of
        `encode("".join(iterable))` all the same.
        """
        for piece, is_special in stream_pieces(iterable, self._special, self._last_cut):
            yield from [self._special_ids[piece]] if is_special else self._encode_plain(piece)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no whole UTF-8 character come out as U+FFFD.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        try:
            return b"".join([self.vocab[i] for i in ids]).decode("utf-8", errors="replace")
        except KeyError as error:
            raise DataError(
                f"token id {error} is not in this vocabulary of {len(self.vocab)} ids. "
                "Decode with the tokenizer that made the ids."
            ) from error

    def _last_cut(self, text: str) -> int:
        """Where text without special tokens may be cut, whatever follows it; also inside of an endless pre-token."""
        place = clean_cut(text)
        if place or len(text) < ENDLESS_CHARS:
            return place
        word = pretokens(text)[-1]
        return len(text) - len(word) + settled(word, self._tokens_of, self._longest_bytes)

    def _tokens_of(self, part: bytes) -> list[bytes]:
        """The tokens of a part of a pre-token, which may begin or end inside of a character."""
        try:
            ids = self._encode_plain(part.decode("utf-8"))
        except UnicodeDecodeError:
            ids = self._encode_word(part)
        return [self.vocab[i] for i in ids]

    def _encode_plain(self, text: str) -> list[int]:
        """The ids of text without special tokens."""
        return [i for word in pretokens(text) for i in self._encode_word(word.encode("utf-8"))]

    def _encode_word(self, word: bytes) -> list[int]:
        """Replay the merges on one pre-token: again and again the earliest learned pair that is present."""
        symbols = tuple(bytes([b]) for b in word)
        while len(symbols) > 1:
            pair = min(pairwise(symbols), key=lambda p: self._ranks.get(p, len(self.merges)))
            if pair not in self._ranks:
                break
            symbols = merge_pair(symbols, pair)
        try:
            return [self._ids[symbol] for symbol in symbols]
        except KeyError as error:
            raise unknown_byte(word, error) from error


def unknown_byte(word: bytes, error: KeyError) -> DataError:
    """The error for text that a vocabulary without all 256 bytes cannot spell."""
    return DataError(
        f"the vocabulary has no token for the byte {error.args[0]!r} of {word[:40]!r}. "
        "Add the missing bytes: a byte-level vocabulary holds all 256."
    )
