"""Encoding a text that comes in pieces: the ids of the whole, however it is cut, while it is read."""

import random
from itertools import islice

import pytest

from tests.a1_basics.small_tokenizer import END, PROSE, UNICODE, WHY_EXACT, tokenizer
from tests.harness.explain import expect, expect_equal, fail


def chunkings(text: str, seed: int) -> list[tuple[str, list[str]]]:
    """The text by lines, by characters, in random pieces (some empty), and whole."""
    rng = random.Random(seed)
    pieces, i = [], 0
    while i < len(text):
        size = rng.choice([0, 1, 2, 3, 5, 8, 40])
        pieces.append(text[i : i + size])
        i += size
    lines = text.splitlines(keepends=True)
    return [
        ("lines", lines),
        ("single characters", list(text)),
        ("random pieces", pieces),
        ("one piece", [text]),
    ]


@pytest.mark.parametrize(
    ("special_tokens", "text"),
    [
        ([], "a\n\n\nb"),
        ([], "the  \n  lady  \n\n\n   the\t\n\n"),
        ([], "we're they'll 'tis ''' 's 're x'y 'v 'l"),
        ([], "12345 ^^^^^^ aaaaaaaa 한국어한국어 😀😀 a1b2"),
        ([], PROSE + UNICODE),
        ([END], f"one{END}two \n{END}\n\n three{END}{END}"),
        ([END], f"one<|endof two<|endoftext| {END}<|endoftext"),
        (["<|a|>", "<|a|><|b|>"], "x<|a|><|b|>y<|a|>z<|a|><|a|><|b|><|a|><|"),
        (["the end"], "at the end of the en the end"),
    ],
)
def test_encode_iterable_equals_encode(adapters, special_tokens, text):
    tok, _ = tokenizer(adapters, special_tokens, extra=tuple(special_tokens))
    want = tok.encode(text)
    for name, chunks in chunkings(text, seed=len(text)):
        expect_equal(
            list(tok.encode_iterable(iter(chunks))),
            want,
            what="encode_iterable(chunks) gives the ids of encode(''.join(chunks))",
            why="where a file happens to be cut is no part of its text: a word, a run of line ends, a "
            "contraction or a special token may lie across the cut. Hold back the end of a chunk until "
            "what follows can no longer change it",
            case=f"text {text[:60]!r} as {name}: {[*chunks[:6]]}{'...' if len(chunks) > 6 else ''}",
        )


def test_encode_iterable_is_lazy(adapters):
    tok, _ = tokenizer(adapters, [END], extra=(END,))
    limit_characters = 4_000_000
    document = PROSE.replace("\n", " ") + END + "\n"
    read = 0

    def endless():
        nonlocal read
        while True:
            read += len(document)
            if read > limit_characters:
                fail(
                    what="encode_iterable yields ids while it reads",
                    why="it exists for files that are larger than the memory",
                    counterexample=f"{limit_characters:,} characters were read before the first 1000 ids "
                    "came out",
                    case="an endless iterable of documents of a few hundred characters",
                )
            yield document

    result = tok.encode_iterable(endless())
    expect(
        hasattr(result, "__next__"),
        what="encode_iterable returns an iterator of ids",
        why="a list would hold the whole file",
        counterexample=f"got a {type(result).__name__}",
    )
    got = list(islice(result, 1000))
    want = tok.encode(document * 20)[:1000]
    expect_equal(got, want, what="the first 1000 ids of an endless text", why=WHY_EXACT)


def test_encode_iterable_of_nothing(adapters):
    tok, _ = tokenizer(adapters, [END], extra=(END,))
    for chunks in ([], [""], ["", ""]):
        expect_equal(
            list(tok.encode_iterable(chunks)),
            [],
            what="no text, no ids",
            why="empty files exist",
            case=f"{chunks}",
        )
    expect_equal(tok.encode(""), [], what="encode('') is []", why="empty documents exist")
    expect_equal(tok.decode([]), "", what="decode([]) is ''", why="a model may answer nothing")
