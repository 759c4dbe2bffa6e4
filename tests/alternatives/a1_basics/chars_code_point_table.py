"""Characters by a table of all code points, special tokens cut out by hand at their first letters."""

from array import array

SOLVES = ("chars",)


def cut(text, special_tokens, is_all):
    """Pieces of one character or one special token, and how far they are decided: the rest may go on."""
    longest = max(map(len, special_tokens), default=1)
    pieces, at = [], 0
    while at < len(text) if is_all else at + longest <= len(text):
        here = max((t for t in special_tokens if text.startswith(t, at)), key=len, default=text[at])
        pieces.append(here)
        at += len(here)
    return pieces, text[at:]


def run_train_chars(input_path, special_tokens):
    with open(input_path, encoding="utf-8", newline="") as file:
        pieces, _ = cut(file.read(), special_tokens, True)
    is_there = bytearray(0x110000)
    for piece in pieces:
        if piece not in special_tokens:
            is_there[ord(piece)] = 1
    tokens = [chr(point) for point, there in enumerate(is_there) if there] + list(special_tokens)
    return {i: token.encode("utf-8") for i, token in enumerate(tokens)}


class TableTokenizer:
    def __init__(self, vocab, special_tokens):
        self.vocab = vocab.copy()
        self.special = {
            s: i for i, token in vocab.items() for s in special_tokens if s.encode("utf-8") == token
        }
        self.table = array("l", [-1]) * 0x110000
        for i, token in vocab.items():
            if i not in self.special.values():
                self.table[ord(token.decode("utf-8"))] = i

    def ids_of(self, pieces):
        for piece in pieces:
            found = self.special[piece] if piece in self.special else self.table[ord(piece)]
            if found < 0:
                raise KeyError(f"no id for {piece!r}, code point U+{ord(piece):04X}")
            yield found

    def encode(self, text):
        return list(self.ids_of(cut(text, self.special, True)[0]))

    def encode_iterable(self, iterable):
        rest = ""
        for string in iterable:
            pieces, rest = cut(rest + string, self.special, False)
            yield from self.ids_of(pieces)
        yield from self.encode(rest)

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")


def get_char_tokenizer(vocab, special_tokens):
    return TableTokenizer(vocab, special_tokens)
