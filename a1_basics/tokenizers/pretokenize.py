"""Cut text into pre-tokens: inside them byte-pair encoding merges, across them it never does.

Three cuts are made here, from coarse to fine.

1. Special tokens (`<|endoftext|>`) are found first. They are ids of their own, never text to merge into.
2. What lies between them is cut by GPT-2's pattern into words, numbers, runs of signs and white space. A word
   keeps the space before it: `" the"` is one pre-token.
3. Files and streams are cut into blocks that can be worked on alone. A block may end only where cutting
   changes nothing: `_CLEAN_CUT` is the law that says where.

Source: [gpt2-2019] section 2.2 (byte-level BPE) and its published encoder, in the faster equal form of
tiktoken.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import regex

from shared.errors import ConfigError, DataError

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_PRETOKEN = regex.compile(GPT2_PATTERN)

# No pre-token of GPT-2's pattern holds a letter before a non-letter, a digit before a non-digit, or white
# space after anything else; and what stands before such a place is matched without looking past it. So text
# may be cut there.
_CLEAN_CUT = r"(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=\S)(?=\s)"
_FIRST_CLEAN_CUT = regex.compile(_CLEAN_CUT)
_LAST_CLEAN_CUT = regex.compile(f"(?r){_CLEAN_CUT}")  # (?r) searches from the end

_STREAM_BLOCK_CHARS = 1 << 14
_CUT_WINDOW_BYTES = 1 << 16
_UTF8_MAX_BYTES = 4


def pretokens(text: str) -> list[str]:
    """The pre-tokens of a text without special tokens; joined, they are the text.

    >>> pretokens("We're 24 today!  Yes")
    ['We', "'re", ' 24', ' today', '!', ' ', ' Yes']
    """
    return _PRETOKEN.findall(text)


class SpecialTokens:
    """A set of special tokens, ready to be found in text: the leftmost match wins, and of those the longest.

    Raises:
        ConfigError: a special token is the empty string.
    """

    def __init__(self, special_tokens: Sequence[str] | None = None):
        self.tokens = tuple(dict.fromkeys(special_tokens or ()))
        if "" in self.tokens:
            raise ConfigError(
                "a special token is empty: it would match everywhere. Remove it from special_tokens."
            )
        self.longest = max(map(len, self.tokens), default=0)
        # An alternation takes the first branch that fits, so the longer token has to stand before its own
        # prefix.
        ordered = sorted(self.tokens, key=len, reverse=True)
        self._pattern = regex.compile("|".join(map(regex.escape, ordered))) if ordered else None

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield (piece, is_special) in order; empty pieces are left out.

        >>> list(SpecialTokens(["<|a|>", "<|a|><|a|>"]).split("x<|a|><|a|>"))
        [('x', False), ('<|a|><|a|>', True)]
        """
        start = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.start() > start:
                yield text[start : match.start()], False
            yield match.group(), True
            start = match.end()
        if start < len(text):
            yield text[start:], False

    def undecided(self, text: str) -> int:
        """The first index from which more text could still make a special token, or a longer one.

        Both `<|endo` (a beginning) and a whole token that begins a longer one are undecided.
        """
        first_possible = max(0, len(text) - self.longest + 1)
        hanging = [
            i
            for i in range(first_possible, len(text))
            if any(len(token) > len(text) - i and token.startswith(text[i:]) for token in self.tokens)
        ]
        if not hanging:
            return len(text)
        start = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if next((i for i in hanging if i >= start), len(text)) <= match.start():
                break
            start = match.end()
        return next((i for i in hanging if i >= start), len(text))

    def straddles(self, text: str, cut: int) -> bool:
        """Whether some special token begins before `cut` and ends after it."""
        return any(
            text.startswith(token, begin)
            for token in self.tokens
            for begin in range(max(0, cut - len(token) + 1), cut)
        )

    def find(self, text: str, start: int) -> Iterator[int]:
        """Where special tokens begin, from `start` on."""
        return (m.start() for m in self._pattern.finditer(text, start)) if self._pattern else iter(())


def clean_cut(text: str) -> int:
    """The last place of a text without special tokens before which nothing depends on what follows; 0 if none."""
    found = _LAST_CLEAN_CUT.search(text)
    return found.start() if found else 0


def settled_parts(chunks: Iterable[str], cut: Callable[[str], int]) -> Iterator[str]:
    """The joined chunks in parts that can be worked on alone: a part ends where `cut(text)` says, 0 for nowhere yet.

    What is behind the cut is held, and looked at again when it has doubled: that keeps text without any cut linear in
    time. So memory is bounded when `cut` finds a place in every text that is long enough.
    """
    held, parts, size = "", [], 0
    for chunk in chunks:
        for begin in range(0, len(chunk), _STREAM_BLOCK_CHARS):
            block = chunk[begin : begin + _STREAM_BLOCK_CHARS]
            parts.append(block)
            size += len(block)
            if size < max(_STREAM_BLOCK_CHARS, len(held)):
                continue
            text = held + "".join(parts)
            place = cut(text)
            if place:
                yield text[:place]
            held, parts, size = text[place:], [], 0
    rest = held + "".join(parts)
    if rest:
        yield rest


def stream_pieces(
    chunks: Iterable[str], special: SpecialTokens, cut: Callable[[str], int] = clean_cut
) -> Iterator[tuple[str, bool]]:
    """Like `special.split("".join(chunks))`, but long text comes in several pieces, which end where `cut` says.

    Held back are only what follows the last cut, and what may be the beginning of a special token.
    """

    def last_cut(text: str) -> int:
        decided = special.undecided(text)
        *_, (piece, is_special) = ("", True), *special.split(text[:decided])
        return decided if is_special else decided - len(piece) + cut(piece)

    for part in settled_parts(chunks, last_cut):
        yield from special.split(part)


def count_pretokens(text: str, special: SpecialTokens) -> Counter[str]:
    """How often each pre-token occurs between the special tokens of a text."""
    counts: Counter[str] = Counter()
    for piece, is_special in special.split(text):
        if not is_special:
            counts.update(pretokens(piece))
    return counts


def read_text(path: str | os.PathLike[str], start: int = 0, end: int | None = None) -> str:
    """Bytes `start` to `end` of a UTF-8 file, exactly as they stand: line ends and byte-order mark are text.

    Raises:
        DataError: the file is missing, or holds bytes that are not UTF-8 (their offset in the file is named).
    """
    try:
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read() if end is None else file.read(end - start)
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}. Give the path of a UTF-8 text file."
        ) from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at offset {start + error.start:,}. "
            "Convert the file, or make a corpus of it with replacement characters: "
            f"python -m shared.corpora.make --kind text --path {path} --errors=replace"
        ) from error


def corpus_bytes(path: str | os.PathLike[str]) -> int:
    """Size of a corpus file in bytes.

    Raises:
        DataError: the file is missing or empty.
    """
    try:
        size_bytes = Path(path).stat().st_size
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}. Give the path of a UTF-8 text file."
        ) from error
    if size_bytes == 0:
        raise DataError(
            f"{path} is empty: there are no bytes to learn pairs from. Give a file with text in it."
        )
    return size_bytes


def file_chunks(
    path: str | os.PathLike[str], chunk_bytes: int, special: SpecialTokens
) -> Iterator[tuple[int, int]]:
    """Cut a file into (start, end) byte ranges of about `chunk_bytes`, whose pre-tokens can be counted apart.

    A range ends where a special token begins if one is near, else at a clean cut; never inside a special
    token.
    """
    size_bytes = corpus_bytes(path)
    start = 0
    with open(path, "rb") as file:
        while size_bytes - start > chunk_bytes:
            end = _cut_after(file, start + chunk_bytes, size_bytes, special)
            yield start, end
            start = end
    if start < size_bytes:
        yield start, size_bytes


def _cut_after(file, target: int, size_bytes: int, special: SpecialTokens) -> int:
    """The first good place to cut a file at or after byte `target`; the end of the file if there is none."""
    margin_bytes = _UTF8_MAX_BYTES * (special.longest + 1)
    while target < size_bytes:
        begin = max(0, target - margin_bytes)
        file.seek(begin)
        data = file.read(_CUT_WINDOW_BYTES + 2 * margin_bytes)
        while data and data[0] & 0xC0 == 0x80:  # the middle of a character
            data, begin = data[1:], begin + 1
        # Bytes that are not UTF-8 pass through here and back unchanged; the reader of the range reports them.
        text = data.decode("utf-8", errors="surrogateescape")
        first = len(data[: max(0, target - begin)].decode("utf-8", errors="surrogateescape"))
        last = (
            len(text) - special.longest - _UTF8_MAX_BYTES
        )  # what lies beyond may be cut short by the window
        candidates = (i for i in special.find(text, first) if i <= last)
        clean = (m.start() for m in _FIRST_CLEAN_CUT.finditer(text, first) if m.start() <= last)
        for places in (candidates, clean):
            for place in places:
                if not special.straddles(text, place):
                    return begin + len(text[:place].encode("utf-8", errors="surrogateescape"))
        target += _CUT_WINDOW_BYTES
    return size_bytes
