"""The two simplest tokenizers: an id for each character, and an id for each byte.

Characters make short vocabularies and readable samples, but a text with a character that was not in the corpus cannot
be encoded at all; the error says which one and where. Bytes can encode everything, at the price of the longest
sequences. Byte-pair encoding starts from bytes and buys the length back.

Ids. Characters come in the order of their code points, bytes in their own order; special tokens follow.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from a1_basics.tokenizers.pretokenize import (
    SpecialTokens,
    corpus_bytes,
    file_chunks,
    read_text,
    stream_pieces,
)
from shared.errors import ConfigError, DataError

_CHUNK_BYTES = 1 << 22


def train_chars(input_path: str | os.PathLike[str], special_tokens: Sequence[str]) -> dict[int, bytes]:
    """The vocabulary of all characters of a text file, each as its UTF-8 bytes; special tokens come last.

    Raises:
        ConfigError: a special token is one character, so that it could not be told from that character.
        DataError: the file is missing, empty or not UTF-8.
    """
    special = _checked(special_tokens)
    corpus_bytes(input_path)
    seen: set[str] = set()
    for start, end in file_chunks(input_path, _CHUNK_BYTES, special):
        for piece, is_special in special.split(read_text(input_path, start, end)):
            if not is_special:
                seen.update(piece)
    tokens = [*sorted(seen), *special.tokens]
    return {index: token.encode("utf-8") for index, token in enumerate(tokens)}


def _checked(special_tokens: Sequence[str]) -> SpecialTokens:
    short = [token for token in special_tokens if len(token) == 1]
    if short:
        raise ConfigError(
            f"special tokens {short} of one character could not be told from text; give them longer names"
        )
    return SpecialTokens(special_tokens)


def decoded(vocab: Mapping[int, bytes], ids: Iterable[int]) -> str:
    """The text of some ids; bytes that are no whole UTF-8 character come out as U+FFFD.

    Raises:
        DataError: an id is not in the vocabulary.
    """
    try:
        return b"".join([vocab[index] for index in ids]).decode("utf-8", errors="replace")
    except KeyError as error:
        raise DataError(
            f"token id {error} is not in this vocabulary of {len(vocab)} ids. "
            "Decode with the tokenizer that made the ids."
        ) from error


class ByteTokenizer:
    """The ids of a text are its UTF-8 bytes; special tokens have ids of their own.

    >>> ByteTokenizer({byte: bytes([byte]) for byte in range(256)}).encode("é!")
    [195, 169, 33]
    """

    def __init__(self, vocab: dict[int, bytes], special_tokens: Sequence[str] = ()) -> None:
        self.vocab = dict(vocab)
        self._special = _checked(special_tokens)
        self._ids = {token: index for index, token in vocab.items()}
        self._special_ids = {token: self._ids[token.encode("utf-8")] for token in self._special.tokens}

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return [index for ids in self._encoded(self._special.split(text)) for index in ids]

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """The ids of the joined strings, one after another; a special token may be cut anywhere."""
        for ids in self._encoded(stream_pieces(iterable, self._special, len)):  # text may be cut anywhere
            yield from ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no whole UTF-8 character come out as U+FFFD.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        return decoded(self.vocab, ids)

    def _encoded(self, pieces: Iterable[tuple[str, bool]]) -> Iterator[list[int]]:
        for piece, is_special in pieces:
            yield [self._special_ids[piece]] if is_special else list(piece.encode("utf-8"))


class CharTokenizer(ByteTokenizer):
    """An id for each character that the vocabulary has.

    >>> tokenizer = CharTokenizer({0: b"a", 1: b"b"})
    >>> tokenizer.encode("abba"), tokenizer.decode([1, 0])
    ([0, 1, 1, 0], 'ba')
    """

    def __init__(self, vocab: dict[int, bytes], special_tokens: Sequence[str] = ()) -> None:
        super().__init__(vocab, special_tokens)
        self._char_ids = {
            token.decode("utf-8"): index
            for token, index in self._ids.items()
            if token.decode("utf-8") not in self._special_ids
        }

    def _encoded(self, pieces: Iterable[tuple[str, bool]]) -> Iterator[list[int]]:
        before, line, column = 0, 1, 1  # place of the piece in the whole text, for the error alone
        for piece, is_special in pieces:
            if is_special:
                yield [self._special_ids[piece]]
            else:
                try:
                    yield [self._char_ids[character] for character in piece]
                except KeyError:
                    at = next(i for i, character in enumerate(piece) if character not in self._char_ids)
                    raise self._unseen(piece, at, before, line, column) from None
            before += len(piece)
            line += piece.count("\n")
            newline = piece.rfind("\n")
            column = column + len(piece) if newline < 0 else len(piece) - newline

    def _unseen(self, piece: str, at: int, before: int, line: int, column: int) -> DataError:
        character, head = piece[at], piece[:at]
        newline = head.rfind("\n")
        column = column + at if newline < 0 else at - newline
        return DataError(
            f"the character {character!r} (U+{ord(character):04X}) at line {line + head.count(chr(10))}, column "
            f"{column} (character {before + at:,} of the text) is not among the {len(self._char_ids)} that this "
            "tokenizer has seen. Train it on text that has them all, or use bytes or byte-pair encoding "
            "(--kind=bytes, --kind=bpe), which can encode everything."
        )
