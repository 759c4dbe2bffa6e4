"""Does not escape special tokens: | makes alternatives of their parts."""

import re
from pathlib import Path

REJECTED_BY = "test_special_tokens_are_one_id"


def run_train_chars(input_path, special_tokens):
    text = Path(input_path).read_bytes().decode()
    for token in sorted(special_tokens, key=len, reverse=True):
        text = text.replace(token, "")
    return {i: token.encode() for i, token in enumerate([*sorted(set(text)), *special_tokens])}


class CharTokenizer:
    def __init__(self, vocab, special_tokens):
        self.vocab = dict(vocab)
        self.ids = {token.decode(): i for i, token in vocab.items()}
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self.special = list(longest_first)
        self.cut = re.compile("|".join([*longest_first, "(?s:.)"]))

    def encode(self, text):
        try:
            return [self.ids[piece] for piece in self.cut.findall(text)]
        except KeyError as error:
            raise ValueError(f"the character {error} is not in the vocabulary of this tokenizer") from None

    def encode_iterable(self, strings):
        held = ""
        for string in strings:
            held += string
            keep = max((n for t in self.special for n in range(len(t)) if held.endswith(t[:n])), default=0)
            whole = max((len(t) for t in self.special if held.endswith(t)), default=0)
            keep = max(keep, whole)
            yield from self.encode(held[: len(held) - keep])
            held = held[len(held) - keep :]
        yield from self.encode(held)

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")


def get_char_tokenizer(vocab, special_tokens):
    return CharTokenizer(vocab, special_tokens)
