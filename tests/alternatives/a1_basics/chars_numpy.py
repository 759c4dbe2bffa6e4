"""Characters by numpy: code points of the text, searched in the sorted code points of the vocabulary."""

import re
from pathlib import Path

import numpy as np

SOLVES = ("chars",)


def points(text):
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def run_train_chars(input_path, special_tokens):
    with Path(input_path).open(encoding="utf-8", newline="") as file:
        text = file.read()
    if special_tokens:
        text = re.sub("|".join(re.escape(t) for t in sorted(special_tokens, key=len)[::-1]), "", text)
    tokens = [chr(point) for point in np.unique(points(text))] + list(special_tokens)
    return dict(enumerate(token.encode() for token in tokens))


class PointTokenizer:
    def __init__(self, vocab, special_tokens):
        self.vocab = vocab.copy()
        self.special = {token: i for i, b in vocab.items() for token in special_tokens if b == token.encode()}
        plain = sorted((ord(b.decode()), i) for i, b in vocab.items() if i not in self.special.values())
        self.points = np.array([point for point, _ in plain], dtype=np.uint32)
        self.ids = np.array([i for _, i in plain], dtype=np.int64)

    def text_ids(self, text):
        wanted = points(text)
        at = np.searchsorted(self.points, wanted).clip(max=max(len(self.points) - 1, 0))
        unseen = wanted[self.points[at] != wanted] if len(self.points) else wanted
        if len(unseen):
            raise LookupError(
                f"U+{unseen[0]:04X} ({chr(unseen[0])!r}) was not in the text this was made from"
            )
        return self.ids[at].tolist()

    def next_special(self, text):
        found = [(text.index(token), -len(token), token) for token in self.special if token in text]
        return min(found)[2] if found else None

    def encode(self, text):
        out = []
        while (token := self.next_special(text)) is not None:
            before, _, text = text.partition(token)
            out += [*self.text_ids(before), self.special[token]]
        return out + self.text_ids(text)

    def encode_iterable(self, iterable):
        held, longest = "", max(map(len, self.special), default=1)
        for string in iterable:
            held += string
            # What lies `longest` before the end is decided, unless a special token lies across that place.
            safe = len(held) - longest
            for token in self.special:
                for i in range(max(safe - len(token) + 1, 0), max(safe, 0)):
                    if held.startswith(token, i):
                        safe = min(safe, i)
            if safe > 0:
                yield from self.encode(held[:safe])
                held = held[safe:]
        yield from self.encode(held)

    def decode(self, ids):
        return b"".join([self.vocab[int(i)] for i in ids]).decode(errors="replace")


def get_char_tokenizer(vocab, special_tokens):
    return PointTokenizer(vocab, special_tokens)
