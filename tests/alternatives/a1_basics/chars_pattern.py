"""Characters by one pattern that takes a special token or any character, and a dict of strings."""

import re
from pathlib import Path

SOLVES = ("chars",)


def pattern(special_tokens):
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, longest_first), "."]), re.DOTALL)


def run_train_chars(input_path, special_tokens):
    text = Path(input_path).read_bytes().decode("utf-8")
    characters = {piece for piece in pattern(special_tokens).findall(text) if piece not in special_tokens}
    return {i: piece.encode() for i, piece in enumerate(sorted(characters) + list(special_tokens))}


class PatternTokenizer:
    def __init__(self, vocab, special_tokens):
        self.vocab = dict(sorted(vocab.items()))
        self.ids = {token.decode(): i for i, token in self.vocab.items()}
        self.pattern = pattern(special_tokens)
        self.beginnings = {token[:n] for token in special_tokens for n in range(1, len(token))}

    def id_of(self, piece):
        if piece not in self.ids:
            raise ValueError(
                f"{piece!r} (U+{ord(piece):04X}) is a character that this tokenizer does not know"
            )
        return self.ids[piece]

    def encode(self, text):
        return [self.id_of(piece) for piece in self.pattern.findall(text)]

    def encode_iterable(self, iterable):
        rest = ""
        for string in iterable:
            rest += string
            at = 0
            # Where the beginning of a special token reaches the end of what is known, the next string decides.
            while at < len(rest) and rest[at:] not in self.beginnings:
                piece = self.pattern.match(rest, at).group()
                if any(
                    rest[at:].startswith(piece) and longer.startswith(rest[at:]) for longer in self.beginnings
                ):
                    break
                yield self.id_of(piece)
                at += len(piece)
            rest = rest[at:]
        yield from self.encode(rest)

    def decode(self, ids):
        return b"".join(map(self.vocab.__getitem__, map(int, ids))).decode("utf-8", "replace")


def get_char_tokenizer(vocab, special_tokens):
    return PatternTokenizer(vocab, special_tokens)
