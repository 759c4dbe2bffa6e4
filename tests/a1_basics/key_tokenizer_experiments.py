"""Keys of tokenizer_experiments, counted on the learner's own artifacts by a slow encoder of ours."""

import math
from itertools import islice

from shared.store.kinds import read_corpus
from tests.harness.keys import Check, Given, NotHere, number
from tests.oracles.own_tokenizer import is_tokenizer, num_tokens, opened, tokenizer_files

DOCUMENTS = 10
PILE_BYTES = 825e9


def bytes_per_token(given: Given, tokenizer: str) -> float:
    """Over the first documents of the held-out split."""
    corpus = read_corpus(opened(given, "corpus", "Corpus"))
    texts = list(islice(corpus.documents("val"), DOCUMENTS))
    files = tokenizer_files(given, tokenizer)
    return sum(len(text.encode()) for text in texts) / sum(num_tokens(text, files) for text in texts)


def compression(tokenizer: str) -> Check:
    """Bytes per token of one of the two tokenizers."""
    other = {"tokenizer": "other_tokenizer", "other_tokenizer": "tokenizer"}[tokenizer]

    def reversed_ratio(given: Given) -> float:
        return 1 / bytes_per_token(given, tokenizer)

    def of_the_other(given: Given) -> float:
        return bytes_per_token(given, other) if given.answers.get(other) else math.nan

    return number(
        lambda given: bytes_per_token(given, tokenizer),
        {
            "tokens per byte, where bytes per token are asked for": reversed_ratio,
            "the other tokenizer's": of_the_other,
        },
    )


def is_corpus(answer: str, given: Given) -> str:
    """A name is right when such a corpus is there. Raises: NotHere."""
    opened(given, "corpus", "Corpus")
    return ""


def is_a_speed(answer: float, given: Given) -> str:
    """A measurement is the learner's own: all that can be said is that it is one."""
    return "" if answer > 0 else "a speed is more than nothing"


def pile_hours(given: Given) -> float:
    """From the learner's own speed."""
    speed = given.answers.get("megabytes_per_second")
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
        raise NotHere("it follows from megabytes_per_second: give that first")
    return PILE_BYTES / (speed * 1e6) / 3600


CHECKS: dict[str, Check] = {
    "corpus": is_corpus,
    "tokenizer": is_tokenizer,
    "bytes_per_token": compression("tokenizer"),
    "other_tokenizer": lambda answer, given: (
        ""
        if tokenizer_files(given, "other_tokenizer") != tokenizer_files(given, "tokenizer")
        else "it is the same one"
    ),
    "other_bytes_per_token": compression("other_tokenizer"),
    "megabytes_per_second": is_a_speed,
    "pile_hours": number(
        pile_hours,
        {
            "these are seconds": lambda given: 3600 * pile_hours(given),
            "these are days": lambda given: pile_hours(given) / 24,
            "it follows from the speed in megabytes_per_second, of 10^6 bytes": lambda given: (
                pile_hours(given) * 1e6 / 2**20
            ),
        },
    ),
    "largest_uint16_vocab": number(
        lambda _: 2**16, {"ids begin at 0": lambda _: 2**16 - 1, "uint16 has no sign": lambda _: 2**15}
    ),
}
