"""Tokenizer: the vocabulary and the merges of a byte-level BPE, as text that people and other tools can read.

Tokens are bytes, and JSON holds text. The GPT-2 byte alphabet writes each byte as one printable character:
printable ones as themselves, the others as characters from U+0100 on (a space is "Ġ").
Source: OpenAI's GPT-2 release, encoder.py, bytes_to_unicode.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from shared.errors import ArtifactError, DataError
from shared.store.artifacts import Artifact, Draft


@functools.cache
def byte_alphabet() -> tuple[str, ...]:
    """The character for each of the 256 bytes.

    >>> "".join(byte_alphabet()[byte] for byte in b"a b\\n")
    'aĠbĊ'
    """
    printable = {
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    }
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


@functools.cache
def _byte_of() -> dict[str, int]:
    return {character: byte for byte, character in enumerate(byte_alphabet())}


def bytes_to_text(token: bytes) -> str:
    """A token in the byte alphabet."""
    alphabet = byte_alphabet()
    return "".join([alphabet[byte] for byte in token])


def text_to_bytes(text: str) -> bytes:
    """The token that a text in the byte alphabet stands for.

    Raises:
        KeyError: a character outside the alphabet.
    """
    byte_of = _byte_of()
    return bytes([byte_of[character] for character in text])


@dataclass(frozen=True)
class TokenizerFiles:
    """All that a byte-level BPE tokenizer is made from."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    special_tokens: list[str]
    pattern: str | None  # the regular expression that cuts text into pre-tokens; None: the GPT-2 pattern

    def token_bytes(self) -> np.ndarray:
        """Length in bytes of each token's text, by id; 0 for special tokens, which stand for no text."""
        special = {token.encode("utf-8") for token in self.special_tokens}
        tokens = (self.vocab[index] for index in range(len(self.vocab)))
        return np.array([0 if token in special else len(token) for token in tokens], dtype=np.int64)


def write_tokenizer(
    draft: Draft,
    vocab: Mapping[int, bytes],
    merges: Iterable[tuple[bytes, bytes]],
    special_tokens: Iterable[str],
    pattern: str | None = None,
) -> None:
    """Write the three files of a tokenizer.

    Raises:
        DataError: ids that are not 0, 1, 2, …, or a special token that the vocabulary lacks.
    """
    specials = list(special_tokens)
    if sorted(vocab) != list(range(len(vocab))):
        missing = next(wanted for wanted in range(len(vocab)) if wanted not in vocab)
        raise DataError(
            f"a vocabulary of {len(vocab)} tokens must use the ids 0 to {len(vocab) - 1}; {missing} is "
            "missing"
        )
    absent = [token for token in specials if token.encode("utf-8") not in set(vocab.values())]
    if absent:
        raise DataError(
            f"the special tokens {absent} are not in the vocabulary; add them to it before it is written"
        )
    tokens = [bytes_to_text(vocab[index]) for index in range(len(vocab))]
    lines = [f"{bytes_to_text(left)} {bytes_to_text(right)}\n" for left, right in merges]
    config = {"type": "bpe", "pattern": pattern, "special_tokens": specials}
    texts = {
        "vocab.json": json.dumps(tokens, ensure_ascii=False, indent=0) + "\n",
        "merges.txt": "".join(lines),
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=1) + "\n",
    }
    for name, text in texts.items():
        (draft.path / name).write_bytes(text.encode("utf-8"))


def read_tokenizer(artifact: Artifact) -> TokenizerFiles:
    """Read the three files of a tokenizer.

    Raises:
        ArtifactError: another type of tokenizer, or files that do not follow the layout.
    """
    config = json.loads(artifact.file("tokenizer_config.json").read_text(encoding="utf-8"))
    if config.get("type") != "bpe":
        raise ArtifactError(
            f"{artifact} is a tokenizer of type {config.get('type')!r}; this reader knows 'bpe'"
        )
    try:
        tokens = json.loads(artifact.file("vocab.json").read_text(encoding="utf-8"))
        vocab = {index: text_to_bytes(text) for index, text in enumerate(tokens)}
        lines = artifact.file("merges.txt").read_bytes().decode("utf-8").split("\n")[:-1]
        pairs = (line.split(" ") for line in lines)
        merges = [(text_to_bytes(left), text_to_bytes(right)) for left, right in pairs]
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{artifact} does not follow the layout of a tokenizer: {error!r}") from error
    return TokenizerFiles(vocab, merges, list(config["special_tokens"]), config["pattern"])
