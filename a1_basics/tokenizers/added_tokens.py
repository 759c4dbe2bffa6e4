"""Added tokens: found in text before it is cut into pre-tokens, with the rules that published tokenizers give them.

Special tokens of our own are found wherever they stand. A published tokenizer may also ask that a token take the
white space beside it along (`lstrip`, `rstrip`), that it stand alone and not inside a word (`single_word`), and that
some tokens be looked for only in what the others left (`normalized`).

Source: Hugging Face `tokenizers`, the behaviour of its added vocabulary; checked against it on random text.
"""

from collections.abc import Iterable, Iterator, Sequence

import regex

from shared.errors import ConfigError
from shared.store.kinds.tokenizer import AddedToken

# What a word character is by Unicode's definition for regular expressions (UTS 18, annex C).
_WORD = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]"
_WORD_BEFORE = regex.compile(rf"(?<={_WORD})")
_WORD_AFTER = regex.compile(rf"(?={_WORD})")
_SPACE_BEFORE = regex.compile(r"(?r)\s*")  # (?r) matches to the left of where it starts
_SPACE_AFTER = regex.compile(r"\s*")


class AddedTokens:
    """A set of added tokens, ready to be found in text.

    Raises:
        ConfigError: a token is the empty string.
    """

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        if any(not token.content for token in tokens):
            raise ConfigError("an added token is empty: it would match everywhere. Remove it.")
        self.longest = max((len(token.content) for token in tokens), default=0)
        self.takes_before = any(token.lstrip for token in tokens)
        # Those that are not `normalized` are found first, everywhere; the others in what is left.
        first = [token for token in tokens if not token.normalized]
        second = [token for token in tokens if token.normalized]
        self._groups = [_Group(group) for group in (first, second) if group]

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Yield (piece, id of the added token or None), in order; empty pieces of text are left out."""
        pieces: Iterable[tuple[str, int | None]] = [(text, None)] if text else []
        for group in self._groups:
            pieces = [
                part
                for piece, token_id in pieces
                for part in (group.split(piece) if token_id is None else [(piece, token_id)])
            ]
        yield from pieces

    def touches(self, text: str, place: int) -> bool:
        """Whether some token ends at or after `place` and begins at or before it."""
        near = text[max(0, place - self.longest) : place + self.longest]
        place -= max(0, place - self.longest)
        return any(group.touches(near, place) for group in self._groups)

    def may_begin(self, text: str) -> int:
        """The first place from which text still to come could make a token."""
        return max(0, len(text) - self.longest + 1)


class _Group:
    """Tokens that are looked for together: the leftmost wins, and of those the longest."""

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        self._by_content = {token.content: token for token in tokens}
        # An alternation takes the first branch that fits, so the longer token stands before its own prefix.
        ordered = sorted(self._by_content, key=len, reverse=True)
        self._pattern = regex.compile("|".join(map(regex.escape, ordered)))

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        begun = 0
        for match in self._pattern.finditer(text):
            token = self._by_content[match.group()]
            start, stop = match.span()
            if token.single_word and (_WORD_BEFORE.match(text, start) or _WORD_AFTER.match(text, stop)):
                continue
            if token.lstrip:
                found = _SPACE_BEFORE.match(text, 0, start)
                start = max(found.start() if found else start, begun)
            if token.rstrip:
                found = _SPACE_AFTER.match(text, stop)
                stop = found.end() if found else stop
            if begun < start:
                yield text[begun:start], None
            yield text[start:stop], token.token_id
            begun = stop
        if begun < len(text):
            yield text[begun:], None

    def touches(self, text: str, place: int) -> bool:
        found = self._pattern.finditer(text, overlapped=True)
        return any(match.start() <= place <= match.end() for match in found)
