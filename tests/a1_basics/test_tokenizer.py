"""Encoding and decoding: hand-made cases first, then laws, then a slow oracle."""

import random
import time

import pytest

from tests.a1_basics.small_tokenizer import (
    END,
    PROSE,
    UNICODE,
    WHY_EXACT,
    expect_encoding,
    tokenizer,
    trained,
)
from tests.harness.explain import expect, expect_equal, fail
from tests.oracles import bpe as oracle

SMALL = dict(enumerate([b" ", b"a", b"b", b"c", b"d", b"bc", b"ab", b"cd", b" a", b"abc", b"abcd", b"bcd"]))


@pytest.mark.parametrize(
    ("merges", "text", "tokens", "why"),
    [
        ([(b"b", b"c"), (b"a", b"b")], "abc", [b"a", b"bc"], "(b, c) was learned first, so it goes first"),
        ([(b"a", b"b"), (b"b", b"c")], "abc", [b"ab", b"c"], "(a, b) was learned first, so it goes first"),
        (
            [(b"b", b"c"), (b"c", b"d"), (b"a", b"b"), (b"ab", b"c")],
            "abcd abc",
            [b"a", b"bc", b"d", b" ", b"a", b"bc"],
            "'abc' is in the vocabulary, but bc was glued before ab could be: the longest match is not the "
            "encoding",
        ),
        (
            [(b"a", b"b"), (b"c", b"d"), (b"ab", b"cd"), (b" ", b"a")],
            "abcd abcd",
            [b"abcd", b" ", b"abcd"],
            "merges build on merges: ab, cd, then abcd; (space, a) comes too late, its a is gone",
        ),
        (
            [(b" ", b"a"), (b"a", b"b")],
            "ab ab",
            [b"ab", b" a", b"b"],
            "the space belongs to the word after it",
        ),
        ([(b"a", b"b")], "abab", [b"ab", b"ab"], "all occurrences are glued"),
        ([], "abc", [b"a", b"b", b"c"], "without merges every byte is a token"),
    ],
)
def test_worked_examples(adapters, merges, text, tokens, why):
    tok = adapters.get_tokenizer(dict(SMALL), list(merges), None)
    ids = {token: i for i, token in SMALL.items()}
    got = tok.encode(text)
    expect_equal(
        [SMALL.get(i, i) for i in got],
        tokens,
        what="encode replays the merges on each pre-token, in the order in which they were learned",
        why=why,
        case=f"text {text!r}, merges {merges}",
    )
    expect_equal(
        got, [ids[token] for token in tokens], what="ids come from vocab", why=why, case=f"text {text!r}"
    )


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        UNICODE,
        "aaaa aaaaa aaa aa a aaaaaaaaaaaaaaaaa",
        "^^^^^ ^^ ...... ====!!",
        "the they're there's  three\n\n\nthe\r\n\r\n the\t",
        "   leading and trailing   ",
        "\n\n a\n \n\nb  \n",
        "x" * 50 + "thethethe" * 9,
    ],
)
def test_encode_agrees_with_the_oracle(adapters, text):
    expect_encoding(
        adapters,
        text,
        [],
        what="the ids are those of replaying every merge, in order, on every pre-token of GPT-2's pattern",
    )


def test_encode_agrees_on_random_text(adapters):
    rng = random.Random(0)
    pieces = [
        "the",
        " the",
        "th",
        "e",
        "a",
        "aa",
        " ",
        "  ",
        "\n",
        "'s",
        "'",
        "re",
        "é",
        "어",
        "1",
        "!",
        "^^",
        "\r\n",
        "😀",
    ]
    for length in [2, 3, 5, 8, 13, 21, 34, 55, 300, 300, 300]:
        text = "".join(rng.choices(pieces, k=length))
        expect_encoding(
            adapters, text, [], what="the ids of a random mixture of words, signs and white space"
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        " ",
        "\n",
        PROSE,
        UNICODE,
        "a\r\nb\rc\n",
        "\x00\x01\x7f",
        "\ufeffBOM",
        "e\u0301 é ﬁ Å Å",
        "\U0010ffff",
        END,
    ],
)
def test_round_trip(adapters, text):
    for special_tokens in (None, [END]):
        tok, _ = tokenizer(adapters, special_tokens)
        got = tok.decode(tok.encode(text))
        expect_equal(
            got,
            text,
            what="decode(encode(text)) == text, character for character",
            why="bytes cover every text: nothing may be normalized, replaced or lost, line ends and marks "
            "included",
            case=f"special tokens {special_tokens}",
        )


def test_round_trip_of_every_kind_of_character(adapters):
    tok, _ = tokenizer(adapters)
    points = [*range(0x0, 0x3000, 7), *range(0x3000, 0xD800, 131), *range(0xE000, 0x110000, 977)]
    text = "".join(map(chr, points))
    expect_equal(
        tok.decode(tok.encode(text)),
        text,
        what="decode(encode(text)) == text over all of Unicode",
        why=WHY_EXACT,
    )


def test_decode_joins_bytes_before_reading_them(adapters):
    tok, _ = tokenizer(adapters)
    data = "é한😀".encode()
    expect_equal(
        tok.decode(list(data)),
        "é한😀",
        what="the bytes of all tokens are joined first and read as UTF-8 once",
        why="a character may be spread over several tokens; read one by one, each part is garbage",
        case="every byte of 'é한😀' as a token of its own",
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\xf0\x9f\x98",
        b"\x80",
        b"a\xffb",
        b"ab\xc3",
        b"\xed\x95",
        b"\xe2\x82(",
        b"\xf0\x9f\x98\xf0\x9f\x98\x80 ok",
    ],
)
def test_decode_marks_what_is_no_text(adapters, data):
    tok, _ = tokenizer(adapters)
    case = f"tokens of the bytes {data!r}"
    what = "bytes that are not UTF-8 come out as U+FFFD, as bytes.decode(errors='replace') does it"
    why = (
        "a model samples tokens one by one and may stop inside a character: an exception would end the "
        "program, and dropping the bytes would hide that something was there"
    )
    try:
        got = tok.decode(list(data))
    except UnicodeDecodeError as error:
        fail(what=what, why=why, counterexample=f"raised {error!r}", case=case)
    expect_equal(got, data.decode("utf-8", errors="replace"), what=what, why=why, case=case)


def test_tokenizers_do_not_share_memory(adapters):
    first = adapters.get_tokenizer(dict(SMALL), [(b"b", b"c")], None)
    expect_equal(first.encode("abc"), [1, 5], what="abc with the merge (b, c)", why=WHY_EXACT)
    second = adapters.get_tokenizer(dict(SMALL), [(b"a", b"b")], None)
    for tok, want in ((second, [6, 3]), (first, [1, 5])):
        expect_equal(
            tok.encode("abc"),
            want,
            what="two tokenizers with different merges live side by side",
            why="a cache of words that belongs to the class or the module gives the ids of another tokenizer",
            case="abc by merges (b, c), then by (a, b), then by the first again",
        )


@pytest.mark.parametrize("letter", ["a", "^", "한", "\n"])
def test_long_runs(adapters, letter):
    tok, _ = tokenizer(adapters)
    text = letter * 3000 + "b"
    what = "a pre-token of thousands of bytes is encoded like any other"
    why = "crawled pages hold such runs; a tokenizer that calls itself for every merge dies on them"
    try:
        got = tok.encode(text)
    except RecursionError as error:
        fail(what=what, why=why, counterexample=f"RecursionError: {error}", case=f"{letter!r} * 3000 + 'b'")
    expect_equal(tok.decode(got), text, what=what, why=why, case=f"{letter!r} * 3000 + 'b'")
    ids = {token: i for i, token in trained()[0].items()}
    want = [ids[token] for token in oracle.encode_to_tokens(text, list(trained()[1]), [])]
    expect_equal(got, want, what=what, why=why, case=f"{letter!r} * 3000 + 'b'")


def test_speed(adapters):
    # Relative to one pass of the pre-token pattern, which every encoder has to make. A cache of words, or the
    # lowest rank of a word's own pairs, costs 2 to 80 such passes; walking through all merges for each word
    # costs a thousand and more.
    rng = random.Random(4)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er")]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(3_000)]
    merges = [(a[:1].encode(), a[1:2].encode()) for a in syllables]
    merges = list(dict.fromkeys(merges))
    parts = [left + right for left, right in merges]
    merges += [(left, right) for left in parts for right in parts]
    merges += [(left + right, last) for left, right in merges[len(parts) :] for last in parts[:3]]
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    text = " ".join(rng.choices(lexicon, k=8_000))
    seconds, passes = [], []
    for _ in range(2):
        start = time.perf_counter()
        oracle.PATTERN.findall(text)
        passes.append(time.perf_counter() - start)
        tok = adapters.get_tokenizer(dict(enumerate(tokens)), merges, None)  # anew: with no word seen before
        start = time.perf_counter()
        got = tok.encode(text)
        seconds.append(time.perf_counter() - start)
    expect_equal(tok.decode(got), text, what="decode(encode(text)) == text", why=WHY_EXACT)
    expect(
        min(seconds) < 300 * max(passes),
        what=f"encoding time does not grow with the number of merges ({len(merges):,} here)",
        why="look at the pairs that a word has, not at all the merges there are: real vocabularies have "
        "50,000 and real corpora billions of words",
        counterexample=f"{len(text):,} characters took {min(seconds):.2f} s, that is "
        f"{min(seconds) / max(passes):.0f} passes of the pre-token pattern over them; wanted less than 300",
    )
