"""Byte-level BPE as published models use it: any of the known split patterns, added tokens, Unicode normalization.

`bpe.py` and `bpe_fast.py` are GPT-2's tokenizer and nothing else. Others put four things around the same merges:

1. Added tokens are found first, each by its own rules (`added_tokens.py`).
2. The text between them is brought into Unicode's composed form where the tokenizer asks for it (Qwen: NFC), so that
   `e` + accent and `é` have the same ids. Decoding then gives the composed form back.
3. It is cut by another pattern (`shared.store.kinds.split_patterns`).
4. A pre-token that is a token needs no merges (Llama 3), and merges may be in an order that no training makes:
   vocabularies converted from a list of ranked tokens have several merges for one token. So merges are replayed one
   at a time here, always the lowest rank and of those the leftmost; the sweeps of `bpe_fast` could differ.

Every step is linear in the text, or n log n in one pre-token, on any input.
"""

import heapq
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

import regex

from a1_basics.tokenizers.added_tokens import AddedTokens
from a1_basics.tokenizers.bpe import ENDLESS_CHARS, unknown_byte
from a1_basics.tokenizers.chars import decoded
from a1_basics.tokenizers.endless import settled
from a1_basics.tokenizers.pretokenize import settled_parts
from shared.errors import ConfigError
from shared.store.kinds.split_patterns import SPLIT_PATTERNS
from shared.store.kinds.tokenizer import TokenizerFiles

# Where text may be cut so that its parts have the pre-tokens of the whole, under every known pattern: before a space
# or tab that follows something else, and between a letter and a sign. The signs are such that normalization never
# joins one to what stands before it; the underscore is left out, for it belongs to words (`single_word`).
_CUT = r"(?<=\S)(?=[ \t])|(?<=\p{L})(?=[!-/:-@\[-\^`{-~\u3001\u3002\uff0c\uff0e\uff01\uff1f\uff1a\uff1b\uff09\u300d])"
_LAST_CLEAN_CUT = regex.compile(f"(?r){_CUT}")  # (?r) searches from the end
# What may join the character before it in composed form: marks, and the later letters of a Korean syllable.
_JOINS_BEFORE = regex.compile(r"[\p{M}\u1160-\u11ff\ud7b0-\ud7ff]")
_ONE_KIND = regex.compile(r"(?s).?(?:\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+)|[^\S\r\n]+|[\r\n]+")
_WHITE = regex.compile(r"\s")
_CACHED_WORDS, _CACHED_WORD_CHARS = 1 << 17, 64
_SHORT_WORD_BYTES = 64
_NEVER = 1 << 62
_GONE = -1
_MANY_MARKS = regex.compile(r"\p{M}{32,}")


def nfc(text: str) -> str:
    """Unicode's composed form, in linear time.

    The library sorts runs of combining marks by insertion, which is quadratic on a long run in bad order; such runs
    are put in order first.
    """
    return unicodedata.normalize("NFC", _MANY_MARKS.sub(_ordered_marks, text))


def plain_cut(text: str) -> int:
    """The last place at which text without added tokens may be cut, not normalized, by any pattern; 0 if none."""
    found = _LAST_CLEAN_CUT.search(text)
    return found.start() if found else 0


def _ordered_marks(match: "regex.Match[str]") -> str:
    marks = "".join([unicodedata.normalize("NFD", mark) for mark in match.group()])
    runs = groupby(marks, key=lambda mark: unicodedata.combining(mark) != 0)
    return "".join(["".join(sorted(run, key=unicodedata.combining) if moves else run) for moves, run in runs])


class Tokenizer:
    """Text to ids and back, as `files` say.

    Raises:
        ConfigError: not a byte-pair encoding, or a merge that makes a token that is not in the vocabulary.
    """

    def __init__(self, files: TokenizerFiles) -> None:
        if files.type != "bpe":
            raise ConfigError(f"a tokenizer of type {files.type!r} has no merges; this one replays merges")
        self.vocab = dict(files.vocab)
        self._added = AddedTokens(files.added_tokens)
        self._pretokens = regex.compile(SPLIT_PATTERNS[files.pattern]).findall
        self._normalize = nfc if files.normalizer == "NFC" else None
        ids = {token: index for index, token in sorted(self.vocab.items(), reverse=True)}
        try:
            self._ranks = {(ids[a], ids[b]): rank for rank, (a, b) in enumerate(files.merges)}
            self._made = [ids[left + right] for left, right in files.merges]
        except KeyError as error:
            raise ConfigError(
                f"a merge needs the token {error}, which is not in the vocabulary. Load vocabulary and merges "
                "that belong together."
            ) from error
        self._byte_ids = [ids.get(bytes([byte])) for byte in range(256)]
        added = {token.token_id for token in files.added_tokens}
        self._whole = {token: i for token, i in ids.items() if i not in added} if files.ignore_merges else {}
        self._longest = max((len(token) for i, token in self.vocab.items() if i not in added), default=0)
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text.

        Raises:
            DataError: the vocabulary lacks a byte of the text.
        """
        ids: list[int] = []
        for piece, token_id in self._added.split(text):
            ids.extend(self._encode_plain(piece) if token_id is None else [token_id])
        return ids

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """The ids of the joined strings, one after another, in memory that does not grow with the text.

        Text is held back from the last place on at which it may be cut. That is near in all but a few texts, which are
        held whole: letters or marks in decomposed form where they are to be composed, for a mark may move to the front
        of any number of others; a line end and then endless blanks, which a second line end would make one pre-token;
        endless white space of blanks and line ends mixed, or where an added token takes what stands before it; and
        nothing but added tokens.
        """
        for part in settled_parts(iterable, self._last_cut):
            yield from self.encode(part)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no whole UTF-8 character come out as U+FFFD.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        return decoded(self.vocab, ids)

    def _last_cut(self, text: str) -> int:
        """The last place at which the text may be cut, whatever comes after it; 0 where there is none."""
        end = self._added.may_begin(text) - 1
        for match in _LAST_CLEAN_CUT.finditer(text, 0, end + 1):
            if self._is_seam(text, match.start()):
                return match.start()
        return self._endless_cut(text, end) if end >= ENDLESS_CHARS else 0

    def _is_seam(self, text: str, cut: int) -> bool:
        """Whether neither an added token nor normalization reaches across a place."""
        # A letter that normalization turns into letter and mark would join what follows it.
        is_stable = unicodedata.is_normalized("NFC", text[cut - 1]) and not _JOINS_BEFORE.match(text, cut)
        return (is_stable or self._normalize is None) and not self._added.touches(text, cut)

    def _endless_cut(self, text: str, end: int) -> int:
        """Where text without a clean cut may be cut before `end`: between pre-tokens, or inside of an endless one.

        No pattern looks back, and only white space is matched by what follows it. So pre-tokens that meet without any
        are settled; and of a run of one kind beginning and rest are runs of that kind, cut as `endless.py` says.
        """
        if self._normalize and not unicodedata.is_normalized("NFC", text):
            return 0
        *_, (piece, token_id) = self._added.split(text[:end])
        before, word = ["", "", *self._pretokens(piece)][-2:]
        cut = end - len(word)
        if token_id is not None or _WHITE.match(before[-1:]):
            return 0
        if len(word) >= ENDLESS_CHARS and _ONE_KIND.fullmatch(word):
            is_white = _WHITE.match(word, len(word) - 1)
            head = (
                0 if is_white and self._added.takes_before else settled(word, self._tokens_of, self._longest)
            )
            # A part that is a token by itself would need no merges (`ignore_merges`), which inside of a word it does.
            cut = cut + head if len(word[:head].encode("utf-8")) > self._longest else 0
        elif not before or _WHITE.match(word):
            return 0
        return cut if cut and self._is_seam(text, cut) else 0

    def _tokens_of(self, part: bytes) -> list[bytes]:
        """The tokens that merging makes of a part of a word."""
        return [self.vocab[index] for index in self._merged(part)]

    def _encode_plain(self, text: str) -> list[int]:
        """The ids of text between added tokens."""
        cache, ids = self._cache, []
        for word in self._pretokens(self._normalize(text) if self._normalize else text):
            found = cache.get(word)
            if found is None:
                found = self._encode_word(word.encode("utf-8"))
                if len(word) <= _CACHED_WORD_CHARS:
                    if len(cache) >= _CACHED_WORDS:
                        cache.clear()
                    cache[word] = found
            ids += found
        return ids

    def _encode_word(self, word: bytes) -> list[int]:
        if word in self._whole:
            return [self._whole[word]]
        return self._merged(word)

    def _merged(self, word: bytes) -> list[int]:
        symbols = [index for byte in word if (index := self._byte_ids[byte]) is not None]
        if len(symbols) < len(word):
            missing = next(byte for byte in word if self._byte_ids[byte] is None)
            raise unknown_byte(word, KeyError(bytes([missing])))
        return self._merge_short(symbols) if len(symbols) <= _SHORT_WORD_BYTES else self._merge_long(symbols)

    def _merge_short(self, symbols: list[int]) -> list[int]:
        """Glue the lowest rank, of those the leftmost, until no pair is a merge: the law, quadratic in the length."""
        rank_of = self._ranks.get
        while len(symbols) > 1:
            ranks = [rank_of(pair, _NEVER) for pair in pairwise(symbols)]
            lowest = min(ranks)
            if lowest == _NEVER:
                break
            at = ranks.index(lowest)
            symbols[at : at + 2] = [self._made[lowest]]
        return symbols

    def _merge_long(self, symbols: list[int]) -> list[int]:
        """The same, n log n: a heap of (rank, place), and entries whose pair is gone are skipped."""
        rank_of, size = self._ranks.get, len(symbols)
        following, preceding = [*range(1, size + 1)], [*range(-1, size - 1)]
        pairs = enumerate(pairwise(symbols))
        heap = [(rank, place) for place, pair in pairs if (rank := rank_of(pair)) is not None]
        heapq.heapify(heap)
        while heap:
            rank, place = heapq.heappop(heap)
            after = following[place]
            if after >= size or rank_of((symbols[place], symbols[after])) != rank:
                continue
            symbols[place], symbols[after] = self._made[rank], _GONE
            beyond = following[place] = following[after]
            if beyond < size:
                preceding[beyond] = place
            for left, right in ((preceding[place], place), (place, beyond)):
                if (
                    left >= 0
                    and right < size
                    and (fresh := rank_of((symbols[left], symbols[right]))) is not None
                ):
                    heapq.heappush(heap, (fresh, left))
        return [symbol for symbol in symbols if symbol != _GONE]
