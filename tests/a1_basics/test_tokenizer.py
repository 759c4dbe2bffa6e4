"""Encoding and decoding: hand-made cases first, then laws (round trip, streaming = whole), then a slow oracle."""

import random
import time
from functools import cache
from itertools import islice

import pytest

from tests.harness.explain import expect, expect_equal, fail
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
PROSE = (
    "It was said that a new person had appeared on the sea-front: a lady with a little dog. We're told "
    "she'd walked there alone, at 7 or 8 o'clock; nobody knew who she was, and every one called her simply "
    '"the lady with the dog".\n\nThe theme then: these three thieves thought that the other three '
    "weren't there...  Yes!\n"
)
UNICODE = (
    "naïve café, 한국어 띄어쓰기와 조사, 日本語, Ω≈ç√, 👩‍👩‍👧‍👦😀, e\u0301\u0301 ﬁ,"
    " \u00a0\u3000 \ufeff mixed\u200btext"
)
WHY_EXACT = (
    "a model knows only ids: the same text must always give the ids it was trained on, and those are what "
    "replaying the merges in their order gives"
)


@cache
def trained(num_merges: int = 180) -> tuple[dict[int, bytes], tuple[tuple[bytes, bytes], ...]]:
    """A vocabulary of bytes and merges, without special tokens, trained by the oracle."""
    merges = oracle.train(PROSE + UNICODE * 2 + " aaaaaaaa ^^^^ \n\n\n\n" * 2, num_merges, [])
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return dict(enumerate(tokens)), tuple(merges)


def tokenizer(adapters, special_tokens: list[str] | None = None, extra: tuple[str, ...] = ()):
    """The learner's tokenizer over the trained vocabulary, with the `extra` tokens, and that vocabulary."""
    vocab, merges = trained()
    added = [token.encode() for token in extra if token.encode() not in vocab.values()]
    vocab = vocab | {len(vocab) + i: token for i, token in enumerate(added)}
    return adapters.get_tokenizer(dict(vocab), list(merges), special_tokens), vocab


def expect_encoding(
    adapters, text: str, special_tokens: list[str], *, what: str, why: str = WHY_EXACT
) -> None:
    """Encode, and compare with the oracle's tokens, id for id."""
    tok, vocab = tokenizer(adapters, list(special_tokens), extra=tuple(special_tokens))
    ids = {token: i for i, token in vocab.items()}
    want = [ids[token] for token in oracle.encode_to_tokens(text, list(trained()[1]), list(special_tokens))]
    case = f"text {text[:80]!r}{'...' if len(text) > 80 else ''}, special tokens {special_tokens}"
    got = tok.encode(text)
    expect(
        isinstance(got, list), what="encode returns a list of int", why="callers join and index it", case=case
    )
    expect_equal(got, want, what=what, why=why, case=case)


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


def test_special_tokens_are_single_ids(adapters):
    tok, vocab = tokenizer(adapters, [END, "<|pad|>"], extra=(END, "<|pad|>"))
    ids = {token: i for i, token in vocab.items()}
    end, pad = ids[END.encode()], ids[b"<|pad|>"]
    for text, want in [(END, [end]), (END * 3, [end] * 3), (f"{END}<|pad|>{END}", [end, pad, end])]:
        expect_equal(
            tok.encode(text),
            want,
            what="each special token is one id, the one that vocab gives it",
            why="the model is told where documents end by exactly this id",
            case=f"text {text!r}",
        )
    expect_equal(
        tok.decode([end, pad]), END + "<|pad|>", what="special ids decode to their text", why=WHY_EXACT
    )


@pytest.mark.parametrize(
    ("special_tokens", "text"),
    [
        ([END], f"the end{END}the{END} the \n{END}\n\nthe  {END}  x"),
        ([END], f"the <|endof the <|endoftext| > <|{END}|> <<|endoftext|>"),
        (["[SEP]", "a+b", "(?:x)", "$$", "\\d"], "[SEP] S a+b aab (?:x) x $$ \\d 7[SEP]a+b"),
        (["the end"], "the end of the end, the  end"),
        (["\n\n", "  "], "a\n\n\nb   c\n \n"),
    ],
    ids=["beside-white-space", "beginnings", "regex-signs", "with-space", "white-space"],
)
def test_text_beside_special_tokens(adapters, special_tokens, text):
    expect_encoding(
        adapters,
        text,
        special_tokens,
        what="the text is cut at special tokens first; each part is pre-tokenized alone, nothing is "
        "trimmed, and half a special token is ordinary text",
    )


@pytest.mark.parametrize(
    "special_tokens",
    [
        ["<|a|>", "<|a|><|a|>"],
        ["<|a|><|a|>", "<|a|>"],
        ["<|a|>", "<|a|><|b|>", "<|a|><|b|><|c|>"],
        ["ab", "abc", "bcd"],
        ["<e", "<e>", "<e>>"],
    ],
)
def test_of_overlapping_special_tokens_the_longest_wins(adapters, special_tokens):
    rng = random.Random(1)
    texts = [
        "".join(special_tokens),
        "".join(rng.choices([*special_tokens, "the ", "a", "b", "c", "d", ">"], k=60)),
    ]
    for text in ["<|a|><|a|><|a|>", "abcd", "<e>>>", *texts]:
        expect_encoding(
            adapters,
            text,
            special_tokens,
            what="where several special tokens begin at the same character, the longest one is taken, in "
            "whatever order they were given",
            why="otherwise the longer token can never be produced",
        )


def test_without_special_tokens_marks_are_text(adapters):
    for special_tokens in (None, []):
        tok, _ = tokenizer(adapters, special_tokens, extra=(END,))
        got = tok.encode(f"a{END}")
        want = oracle.encode_to_tokens(f"a{END}", list(trained()[1]), [])
        expect_equal(
            [trained()[0].get(i, i) for i in got],
            want,
            what="what is special is said by special_tokens alone, not by the vocabulary or by a fixed name",
            why="text from users must be encodable as text, or anyone can end a document by typing the mark",
            case=f"text {'a' + END!r}, special tokens {special_tokens}, and the mark in vocab",
        )


def test_missing_special_tokens_get_new_ids(adapters):
    vocab, merges = trained()
    tok = adapters.get_tokenizer(dict(vocab), list(merges), [END, "<|pad|>"])
    text = f"the{END} lady<|pad|>{END}"
    what = "special tokens that vocab lacks are added to it with new ids"
    why = "a tokenizer is often extended after training (chat marks): the new marks need ids and the old ids must stay"
    try:
        got = tok.encode(text)
    except KeyError as error:
        fail(what=what, why=why, counterexample=f"encode raised KeyError({error})", case=f"text {text!r}")
    known = [i for i in got if i in vocab]
    new = [i for i in got if i not in vocab]
    expect(
        len(new) == 3 and new[0] == new[2] != new[1],
        what=what,
        why=why,
        counterexample=f"of the ids {got} only {new} are new; wanted three, the first and the last the same",
        case=f"text {text!r}, special tokens {[END, '<|pad|>']}, vocab of ids 0..{len(vocab) - 1} without "
        "them",
    )
    expect_equal(
        b"".join(vocab[i] for i in known),
        b"the lady",
        what="the ids of the vocabulary stay as they are",
        why=why,
    )
    expect_equal(tok.decode(got), text, what="the new ids decode to their special tokens", why=why)
    expect_equal(
        sorted(set(new)),
        [len(vocab), len(vocab) + 1],
        what="the new ids are the next free ones",
        why="an embedding table has one row for each id, without gaps",
    )


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
