"""What key files look up in a learner's artifacts: read as plain data, none of the learner's code is run."""

from itertools import pairwise

from shared.errors import WorkspaceError
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import TokenizerFiles, read_tokenizer
from tests.harness.keys import Given, NotHere
from tests.oracles.bpe import split_at_special, words


def opened(given: Given, answer: str, kind: str) -> Artifact:
    """The artifact that an answer names, every file of it verified. Raises: NotHere."""
    name = given.answers.get(answer)
    if not isinstance(name, str):
        raise NotHere(f"{answer} names no {kind}: write the name of yours there")
    try:
        return Store(given.store).open(name, kind)
    except WorkspaceError as error:
        raise NotHere(f"{answer}: {error}") from error


def tokenizer_files(given: Given, answer: str) -> TokenizerFiles:
    """The tokenizer that an answer names. Raises: NotHere: it is not here, or cuts text by another pattern."""
    files = read_tokenizer(opened(given, answer, "Tokenizer"))
    if not files.is_plain:
        raise NotHere(
            f"{answer}: it is no plain byte-pair encoding with GPT-2's pattern, which is all that is known here"
        )
    return files


def num_tokens(text: str, files: TokenizerFiles) -> int:
    """How many tokens a text has, one pre-token after another."""
    rank = {pair: place for place, pair in enumerate(files.merges)}
    known: dict[str, int] = {}
    total = 0
    for piece, special in split_at_special(text, files.special_tokens):
        for word in [piece] if special else words(piece, []):
            if word not in known:
                known[word] = 1 if special else len(glued([bytes([b]) for b in word.encode()], rank))
            total += known[word]
    return total


def glued(symbols: list[bytes], rank: dict[tuple[bytes, bytes], int]) -> list[bytes]:
    """Merge the pair that was learned first until none is left."""
    while len(symbols) > 1:
        pairs = list(pairwise(symbols))
        place = min(range(len(pairs)), key=lambda i: rank.get(pairs[i], len(rank)))
        if pairs[place] not in rank:
            break
        symbols[place : place + 2] = [b"".join(pairs[place])]
    return symbols


def longest_token_bytes(given: Given) -> int:
    """Of the tokenizer that the answer `tokenizer` names, special tokens aside."""
    return int(tokenizer_files(given, "tokenizer").token_bytes().max())


def is_tokenizer(answer: str, given: Given) -> str:
    """A name is right when such a tokenizer is there. Raises: NotHere."""
    tokenizer_files(given, given.question.id)
    return ""
