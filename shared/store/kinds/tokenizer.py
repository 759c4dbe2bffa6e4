"""Tokenizer: all that turns text into ids and back, as text that people and other tools can read.

Three types share one layout. `bpe` is byte-level byte-pair encoding with a split pattern, added tokens and perhaps a
normalization, so that published tokenizers fit in beside our own. `chars` has a token for each character it has seen,
`bytes` one for each byte.

Tokens are bytes, and JSON holds text. The GPT-2 byte alphabet writes each byte as one printable character:
printable ones as themselves, the others as characters from U+0100 on (a space is "Ġ").
Source: OpenAI's GPT-2 release, encoder.py, bytes_to_unicode.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.errors import ArtifactError, DataError
from shared.store.artifacts import Artifact, Draft
from shared.store.kinds.corpus import DOCUMENT_END
from shared.store.kinds.split_patterns import SPLIT_PATTERNS

TOKENIZER_TYPES = ("bpe", "chars", "bytes")
NORMALIZERS = (None, "NFC")


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


def token_from_text(text: str) -> bytes:
    """The bytes of a token; text outside the byte alphabet, which no merge can make, stands for itself."""
    try:
        return text_to_bytes(text)
    except KeyError:
        return text.encode("utf-8")


@dataclass(frozen=True)
class AddedToken:
    """A token found in text before anything else happens to it, and never merged into."""

    content: str
    token_id: int
    special: bool = True  # stands for no text of a document, as the end-of-text mark does
    lstrip: bool = False  # takes the white space before it along
    rstrip: bool = False  # takes the white space after it along
    single_word: bool = False  # not found inside a longer word
    normalized: bool = False  # looked for after those that are not; matters only where both sorts are

    @property
    def is_plain(self) -> bool:
        """Found wherever it stands, and exactly as it stands."""
        return not (self.lstrip or self.rstrip or self.single_word)


@dataclass(frozen=True)
class TokenizerFiles:
    """All that a tokenizer is made from."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    added_tokens: Sequence[AddedToken]
    type: str = "bpe"  # one of TOKENIZER_TYPES
    pattern: str = "gpt2"  # which of SPLIT_PATTERNS cuts text into pre-tokens
    normalizer: str | None = None  # the Unicode form that text is brought into first
    ignore_merges: bool = False  # a pre-token that is a token needs no merges to become it
    end_of_text: str = DOCUMENT_END  # the added token that closes each document
    leading_tokens: tuple[
        str, ...
    ] = ()  # the added tokens that begin a prompt; none: end_of_text, as after a document

    @property
    def special_tokens(self) -> list[str]:
        """The added tokens that stand for no text."""
        return [token.content for token in self.added_tokens if token.special]

    @property
    def end_of_text_id(self) -> int:
        """The id that closes each document.

        Raises:
            ArtifactError: the tokenizer has no such token.
        """
        return self._added_id(self.end_of_text, "close each document")

    @property
    def leading_ids(self) -> list[int]:
        """The ids that a prompt begins with: what the model saw before the text of a document.

        Raises:
            ArtifactError: the tokenizer has no such token.
        """
        return [self._added_id(name, "begin a prompt") for name in self.leading_tokens or [self.end_of_text]]

    def _added_id(self, name: str, purpose: str) -> int:
        for token in self.added_tokens:
            if token.content == name:
                return token.token_id
        raise ArtifactError(
            f"the tokenizer lacks the token {name!r} that should {purpose}; its added tokens "
            f"are {[token.content for token in self.added_tokens]}"
        )

    @property
    def is_plain(self) -> bool:
        """Whether vocabulary, merges and a list of special tokens say all: the plain byte-pair encoding of GPT-2.

        A merge that makes a part of an earlier merge (converted vocabularies have such) is not plain: then the
        order of merging decides between places, and no training could have made that order.
        """
        kinds = {token.normalized for token in self.added_tokens}
        if (self.type, self.pattern, self.normalizer, self.ignore_merges) != ("bpe", "gpt2", None, False):
            return False
        if len(kinds) > 1 or not all(token.is_plain for token in self.added_tokens):
            return False
        lowest_id = {token: index for index, token in sorted(self.vocab.items(), reverse=True)}
        if any(lowest_id[token.content.encode()] != token.token_id for token in self.added_tokens):
            return False
        last_made = {left + right: rank for rank, (left, right) in enumerate(self.merges)}
        in_order = all(
            max(last_made.get(left, -1), last_made.get(right, -1)) < rank
            for rank, (left, right) in enumerate(self.merges)
        )
        return in_order and len(set(self.merges)) == len(self.merges)

    def token_bytes(self) -> np.ndarray:
        """Length in bytes of each token's text, by id; 0 for special tokens, which stand for no text."""
        lengths = np.array([len(self.vocab[index]) for index in range(len(self.vocab))], dtype=np.int64)
        lengths[[token.token_id for token in self.added_tokens if token.special]] = 0
        return lengths


def trained_tokenizer(
    vocab: Mapping[int, bytes],
    merges: Iterable[tuple[bytes, bytes]],
    special_tokens: Iterable[str],
    *,
    type: str = "bpe",
    pattern: str = "gpt2",
) -> TokenizerFiles:
    """The tokenizer of a vocabulary that was learned here; its first special token closes each document.

    Raises:
        DataError: a special token that the vocabulary lacks.
    """
    specials = list(special_tokens)
    lowest_id = {token: index for index, token in sorted(vocab.items(), reverse=True)}
    absent = [token for token in specials if token.encode("utf-8") not in lowest_id]
    if absent:
        raise DataError(
            f"the special tokens {absent} are not in the vocabulary; add them to it before it is written"
        )
    added = tuple(AddedToken(token, lowest_id[token.encode("utf-8")]) for token in specials)
    end_of_text = DOCUMENT_END if DOCUMENT_END in specials or not specials else specials[0]
    return TokenizerFiles(dict(vocab), list(merges), added, type, pattern, end_of_text=end_of_text)


def write_tokenizer(draft: Draft, files: TokenizerFiles) -> None:
    """Write the three files of a tokenizer.

    Raises:
        DataError: ids that are not 0, 1, 2, …, or an added token whose id is not among them.
    """
    vocab = files.vocab
    if sorted(vocab) != list(range(len(vocab))):
        missing = next(wanted for wanted in range(len(vocab)) if wanted not in vocab)
        raise DataError(
            f"a vocabulary of {len(vocab)} tokens must use the ids 0 to {len(vocab) - 1}; {missing} is "
            "missing"
        )
    absent = [token.content for token in files.added_tokens if token.token_id not in vocab]
    if absent:
        raise DataError(f"the added tokens {absent} have ids outside the vocabulary of {len(vocab)}")
    tokens = [bytes_to_text(vocab[index]) for index in range(len(vocab))]
    lines = [f"{bytes_to_text(left)} {bytes_to_text(right)}\n" for left, right in files.merges]
    config = {
        "type": files.type,
        "pattern": files.pattern,
        "pattern_regex": SPLIT_PATTERNS[files.pattern],
        "normalizer": files.normalizer,
        "ignore_merges": files.ignore_merges,
        "end_of_text": files.end_of_text,
        "leading_tokens": list(files.leading_tokens),
        "added_tokens": [dataclasses.asdict(token) for token in files.added_tokens],
    }
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
        ArtifactError: a type, split pattern or normalization that this code does not know, or files that do not
            follow the layout.
    """
    config = json.loads(artifact.file("tokenizer_config.json").read_text(encoding="utf-8"))
    for field, known in (("type", TOKENIZER_TYPES), ("pattern", SPLIT_PATTERNS), ("normalizer", NORMALIZERS)):
        if config.get(field, "missing") not in known:
            raise ArtifactError(
                f"{artifact} is a tokenizer of {field} {config.get(field)!r}; this reader knows "
                f"{', '.join(map(repr, known))}"
            )
    try:
        tokens = json.loads(artifact.file("vocab.json").read_text(encoding="utf-8"))
        vocab = {index: text_to_bytes(text) for index, text in enumerate(tokens)}
        lines = artifact.file("merges.txt").read_bytes().decode("utf-8").split("\n")[:-1]
        pairs = (line.split(" ") for line in lines)
        merges = [(text_to_bytes(left), text_to_bytes(right)) for left, right in pairs]
        if config["pattern_regex"] != SPLIT_PATTERNS[config["pattern"]]:
            raise ValueError(f"the pattern {config['pattern']} is spelled {config['pattern_regex']!r}")
        added = tuple(AddedToken(**token) for token in config["added_tokens"])
        options = {
            name: config[name] for name in ("type", "pattern", "normalizer", "ignore_merges", "end_of_text")
        }
        leading = tuple(
            config.get("leading_tokens", ())
        )  # artifacts made before there were any lack the entry
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{artifact} does not follow the layout of a tokenizer: {error!r}") from error
    return TokenizerFiles(vocab, merges, added, **options, leading_tokens=leading)
