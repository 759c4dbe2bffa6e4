"""The merges of byte-pair encoding: hand-made cases first, then a slow oracle that counts everything anew."""

import random
import time

import pytest

from tests.a1_basics.small_corpora import END, expect_merges, pseudo_text, train
from tests.harness.explain import expect, expect_equal
from tests.oracles import bpe as oracle


def test_worked_example(adapters, tmp_path):
    # "ab" x 3, "abc" x 2, "bc" x 2: (a, b) 5, (b, c) 4. After gluing ab: (ab, c) 2 and (b, c) 2, a tie.
    text = "ab\nab\nab\nabc\nabc\nbc\nbc"
    vocab, merges = train(adapters, tmp_path, text, 256 + 1 + 3, [END])
    expect_equal(
        merges,
        [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c")],
        what="the merges of a corpus small enough to do by hand",
        why="a and b stand together 5 times, more than any other pair; then (b, c) and (ab, c) have 2 "
        "each, and the greater pair wins: b'b' > b'ab'",
        case=f"corpus {text!r}, special tokens [{END!r}]",
    )
    for token in (b"ab", b"bc", b"abc", END.encode()):
        expect(
            token in vocab.values(),
            what="every merged pair and every special token is in the vocabulary",
            why="a token without an id cannot be encoded",
            counterexample=f"{token!r} is missing from the values of vocab",
        )


@pytest.mark.parametrize(
    ("text", "winner", "loser"),
    [
        ("xa xb", (b"x", b"b"), "(x, a) and (x, b) occur once each; b'b' > b'a'"),
        ("ab cd", (b"c", b"d"), "the greater first part wins, wherever it stands in the corpus"),
        ("cd\nab", (b"c", b"d"), "the greater first part wins, wherever it stands in the corpus"),
        ("a\u00e9", (b"\xc3\xa9"[:1], b"\xc3\xa9"[1:]), "bytes compare as numbers: 0xc3 > 0x61"),
        ("b a b", (b" ", b"b"), "a space is byte 0x20; written as 'Ġ' it would look greater than any letter"),
        ("z\u0080 ~!", (b"\xc2", b"\x80"), "byte 0xc2 is greater than any ASCII character"),
    ],
)
def test_equal_counts_go_to_the_greatest_pair(adapters, tmp_path, text, winner, loser):
    _, merges = train(adapters, tmp_path, text, 257, [])
    expect_equal(
        merges,
        [winner],
        what="of pairs with equal counts, the lexicographically greatest pair of byte strings is merged",
        why=f"without one rule for ties two trainers disagree on most of their later merges. Here: {loser}",
        case=f"corpus {text!r}, one merge",
    )


def test_ties_compare_pairs_not_joined_bytes(adapters, tmp_path):
    # After (a, b) x 9 is glued: (ab, a) and (a, zz) tie at 2. As pairs ("ab", "a") > ("a", "zz"); joined,
    # "azz" > "aba".
    text = "ab\n" * 9 + "zz\n" * 8 + "aba\naba\nazz\nazz\n"
    expect_merges(
        adapters,
        tmp_path,
        text,
        6,
        what="ties compare (left, right) as a tuple: left with left first, and right only if the lefts are "
        "equal",
    )


def test_ties_on_random_text(adapters, tmp_path):
    # Few letters and short texts: nearly every step is a tie.
    for seed in range(6):
        rng = random.Random(seed)
        text = "".join(rng.choices(["a", "b", "c", " ", "é", "B", "!"], k=30 * (seed + 1)))
        expect_merges(
            adapters,
            tmp_path,
            text,
            25,
            what="the merges of a random text full of ties: the most frequent pair, of equal ones the "
            "greatest",
        )


@pytest.mark.parametrize(
    "text", ["aaa", "aaaa", "aaaaa aaa", "ababab", "abababab abab", "aabaab", "aaabaaab aab", "abbabbabba bb"]
)
def test_overlapping_pairs(adapters, tmp_path, text):
    expect_merges(
        adapters,
        tmp_path,
        text,
        10,
        what="counts stay true where a pair overlaps itself or its own copy next door: 'aaa' holds (a, a) "
        "twice, glues from the left to 'aa', 'a', and then holds (aa, a) once",
        why="trainers that update counts instead of counting anew go wrong exactly here: the neighbour of an "
        "occurrence may itself be glued in the same step. Real text has such runs ('......', '\\n\\n\\n', "
        "'aaah')",
    )


def test_overlapping_pairs_in_random_runs(adapters, tmp_path):
    for seed in range(8):
        rng = random.Random(seed)
        words = ["".join(rng.choices("aab", k=rng.randint(2, 14))) for _ in range(4 + 3 * seed)]
        expect_merges(
            adapters,
            tmp_path,
            " ".join(words),
            40,
            what="counts stay true over many merges of runs and repeats",
            why="a count that is off by one changes the order of the merges, often only much later",
        )


@pytest.mark.parametrize(
    "text",
    [
        "We're he'll I'd 'twas don't they've can'T",
        "a1b22 333 x=42; y+=1 ... --- !?",
        "two  spaces   three\n\n\nlines \n x\t\ttabs \n",
        "one\r\ntwo\r\n\r\nthree\rfour\r\n" * 2,
        "\ufeffnaïve café 한국어 한국 日本語 😀😀😀 \u00a0x\u3000y e\u0301e\u0301",
    ],
    ids=["contractions", "numbers-and-signs", "white-space", "CRLF", "unicode"],
)
def test_pretokens_follow_gpt2(adapters, tmp_path, text):
    expect_merges(
        adapters,
        tmp_path,
        text,
        40,
        what="pairs are counted inside the pre-tokens of GPT-2's pattern, over the bytes of the file as "
        "they stand (read with newline='' or as bytes: '\\r\\n' is two bytes of the text)",
        why="pre-tokens decide what can ever become a token; a file that is changed while it is read gives "
        "a tokenizer for another text",
    )


def test_a_word_counts_as_often_as_it_occurs(adapters, tmp_path):
    expect_merges(
        adapters,
        tmp_path,
        "xy xyu xyv xyw" + " zq" * 5,
        6,
        what="each pre-token's pairs count once for every time that it occurs",
        why="(x, y) stands in four different words, (z, q) in one, but that one occurs five times",
    )


def test_long_file_without_special_tokens_is_read_whole(adapters, tmp_path):
    # Seven words without a common character, equally frequent: nearly all merges are ties, so one word that is cut
    # anywhere loses its place among them. Characters are three bytes long, words three, six or nine.
    words = ["가", "나다", "라마바", "사", "아자", "차카타", "파하"] * 4000
    random.Random(3).shuffle(words)
    text = "\n".join(words)
    expect_merges(
        adapters,
        tmp_path,
        text,
        40,
        [END],
        what="every byte of the file counts once, wherever a parallel reader cuts it",
        why="a cut inside a character or a word loses or invents pairs; with errors='ignore' nobody is "
        "told. Cut only at special tokens, and take the file whole when there are none",
    )


def test_path_may_be_a_string(adapters, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"hello hello")
    _, merges = adapters.run_train_bpe(input_path=str(path), vocab_size=258, special_tokens=[])
    expect_equal(
        merges,
        oracle.train("hello hello", 2, []),
        what="input_path may be a str as well as a Path",
        why="programs pass what the command line gave them",
    )


def test_runs_do_not_remember_one_another(adapters, tmp_path):
    for text in ("xyxy xyxy zz", "abab abab", "xyxy xyxy zz"):
        expect_merges(
            adapters,
            tmp_path,
            text,
            3,
            what="training is about the text it is given, whatever was trained on before",
            why="counts or caches kept between calls mix one corpus into the next",
        )


def test_many_merges_and_speed(adapters, tmp_path):
    # One oracle run serves both checks: far more merges than a quick look would see, and time relative to
    # counting everything anew. The bound is 0.4 of the oracle's time; bookkeeping that touches only what
    # a merge changed needs about a twentieth, so a slow or busy machine cannot fail it, and recounting cannot
    # pass it.
    text = pseudo_text(10_000, seed=5)
    num_merges = 700
    start = time.perf_counter()
    want = oracle.train(text, num_merges, [END])
    recounting_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        _, got = train(adapters, tmp_path, text, 257 + num_merges, [END])
        seconds.append(time.perf_counter() - start)
    expect_equal(
        got,
        want,
        what=f"all {num_merges} merges of a text of {len(text):,} characters",
        why="an error in the bookkeeping may need hundreds of merges before it shows",
    )
    expect(
        min(seconds) < 0.4 * recounting_seconds,
        what="a merge costs time for the words that it changes, not for the whole corpus",
        why="counting all pairs anew for each merge is fine here and takes days for 32,000 merges of a "
        "real corpus",
        counterexample=f"{num_merges} merges took {min(seconds):.2f} s; the oracle, which counts everything "
        f"anew for each merge, took {recounting_seconds:.2f} s here; wanted less than 0.4 of that",
    )
