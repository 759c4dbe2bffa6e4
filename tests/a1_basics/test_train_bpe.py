"""Training byte-pair encoding: hand-made cases first, then a slow oracle that counts everything anew.

Merges are compared exactly, because every one of them is fixed by the rules: the most frequent pair, of equal
ones the greatest. Ids of bytes and special tokens are free among themselves; merges come after them, in order
of creation.
"""

import random
import time
from pathlib import Path

import pytest

from tests.harness.explain import Lesson, expect, expect_equal, fail
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
WHY_MERGES = (
    "the merges are the tokenizer: from the first one that differs, texts get other tokens than with any "
    "correct trainer, and models and data made with one cannot be used with the other"
)


def train(adapters, folder: Path, text: str | bytes, vocab_size: int, special_tokens: list[str]):
    """Call the learner's trainer on a file with this text; check the types of what comes back."""
    path = folder / "corpus.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    result = adapters.run_train_bpe(
        input_path=path, vocab_size=vocab_size, special_tokens=list(special_tokens)
    )
    expect(
        isinstance(result, tuple) and len(result) == 2,
        what="run_train_bpe returns a tuple (vocab, merges)",
        why="callers unpack it",
        counterexample=f"got {type(result).__name__}",
    )
    vocab, merges = result
    expect(
        isinstance(vocab, dict) and isinstance(merges, list),
        what="vocab is a dict (id -> bytes) and merges a list of (bytes, bytes) in order of creation",
        why="the tokenizer is built from them",
        counterexample=f"got vocab: {type(vocab).__name__}, merges: {type(merges).__name__}",
    )
    return vocab, merges


def expect_merges(adapters, folder, text, num_merges, special_tokens=(), *, what, why=WHY_MERGES) -> None:
    """Train, and compare the merges with the oracle's."""
    special_tokens = list(special_tokens)
    want = oracle.train(text, num_merges, special_tokens)
    _, got = train(adapters, folder, text, 256 + len(special_tokens) + num_merges, special_tokens)
    shown = text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"
    expect_equal(got, want, what=what, why=why, case=f"corpus {shown!r}, special tokens {special_tokens}")


def pseudo_text(num_words: int, seed: int) -> str:
    """Words of random syllables whose frequencies fall like those of a language, with numbers and signs."""
    rng = random.Random(seed)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "ou")]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(num_words // 4)]
    chosen = (lexicon[min(int(rng.paretovariate(0.35)) - 1, len(lexicon) - 1)] for _ in range(num_words))
    endings = rng.choices([" ", ", ", ".\n", " 17 ", "'s ", "! "], weights=[20, 3, 2, 1, 1, 1], k=num_words)
    return "".join(word + ending for word, ending in zip(chosen, endings, strict=True))


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
    "special_tokens",
    [
        [END],
        ["<|im_start|>", "<|im_end|>"],
        ["[SEP]", "a+b", "$$"],
        ["<|a|>", "<|a|><|b|>", "<|a|><|b|><|c|>"],
        ["<pad>", "the end"],
    ],
    ids=["endoftext", "chat", "regex-signs", "prefixes", "with-space"],
)
def test_special_tokens_are_never_merged_into(adapters, tmp_path, special_tokens):
    rng = random.Random(7)
    parts = [*special_tokens * 3, "word", " word", "wo", "rd", "\n", " ", "a", "b", "<", "|", "nd"]
    text = "".join(rng.choices(parts, k=400))
    vocab, _ = train(adapters, tmp_path, text, 256 + len(special_tokens) + 30, special_tokens)
    for token in special_tokens:
        expect_equal(
            list(vocab.values()).count(token.encode()),
            1,
            what=f"each special token given by the caller is in the vocabulary once, here {token!r}",
            why="it needs an id of its own; whatever the caller's list holds is special, not one fixed name",
        )
    expect_merges(
        adapters,
        tmp_path,
        text,
        30,
        special_tokens,
        what="special tokens are cut out before pairs are counted: nothing inside them, and nothing across "
        "them, is a pair; where several fit, the longest is cut out",
        why="otherwise the most frequent string of the corpus, the end-of-text mark, eats a dozen merges, "
        "and text that is typed by a user can be glued into it",
    )


@pytest.mark.parametrize(
    "text",
    [f"ab{END}ab{END}ab", f"a{END}b" * 4, f"x {END}y \n\n{END}\nz" * 3, f"{END}", f"{END}{END}a b"],
)
def test_special_tokens_part_the_text(adapters, tmp_path, text):
    expect_merges(
        adapters,
        tmp_path,
        text,
        8,
        [END],
        what="documents are pre-tokenized apart: removing the special tokens must neither join their "
        "neighbours nor leave anything in their place",
        why="the last word of one document and the first of the next are no pair; a space put in between "
        "is no text",
    )


def test_no_special_tokens(adapters, tmp_path):
    expect_merges(
        adapters,
        tmp_path,
        f"to {END} be {END} or {END}",
        12,
        [],
        what="with no special tokens '<|endoftext|>' is text like any other",
        why="what is special is the caller's choice",
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


@pytest.mark.parametrize(
    ("text", "num_merges"), [("ab ab", 2), ("a b c", 2), ("aaaa", 2), (f"{END}{END}", 0), ("x", 0)]
)
def test_stops_when_no_pair_is_left(adapters, tmp_path, text, num_merges):
    what = "when every pre-token is one token, training ends with fewer merges than asked for"
    why = "small corpora are legal: a crash, or merges that occur nowhere, would be made of nothing"
    try:
        vocab, merges = train(adapters, tmp_path, text, 400, [END])
    except Lesson:
        raise
    except Exception as error:
        fail(what=what, why=why, counterexample=f"raised {error!r}", case=f"corpus {text!r}, vocab_size 400")
    expect_equal(
        merges, oracle.train(text, 143, [END]), what=what, why=why, case=f"corpus {text!r}, vocab_size 400"
    )
    expect_equal(len(merges), num_merges, what=what, why=why, case=f"corpus {text!r}, vocab_size 400")
    expect_equal(
        len(vocab),
        257 + num_merges,
        what="the vocabulary holds the 256 bytes, the special tokens and one token per merge, no more",
        why="an id without a token breaks decoding",
        case=f"corpus {text!r}, vocab_size 400",
    )


@pytest.mark.parametrize("special_tokens", [[], [END], [END, "<|pad|>", "<|im_end|>"]])
def test_vocabulary_ids(adapters, tmp_path, special_tokens):
    text = pseudo_text(300, seed=1) + "".join(special_tokens)
    first = 256 + len(special_tokens)
    case = f"vocab_size {first + 20}, special tokens {special_tokens}"
    vocab, merges = train(adapters, tmp_path, text, first + 20, special_tokens)
    expect_equal(
        sorted(vocab),
        list(range(first + 20)),
        what="the ids are 0, 1, ... vocab_size - 1; vocab_size counts bytes, special tokens and merges",
        why="ids index the rows of an embedding table of exactly vocab_size rows",
        case=case,
    )
    initial = {bytes([byte]) for byte in range(256)} | {token.encode() for token in special_tokens}
    expect(
        {vocab[i] for i in range(first)} == initial,
        what=f"the first {first} ids are the 256 bytes and the special tokens, in any order",
        why="they are the vocabulary before the first merge. With special tokens at the end, training a "
        "larger vocabulary would give their ids to merges, and old data would end its documents with a word",
        counterexample=f"among ids 0..{first - 1} stands "
        f"{sorted(set(vocab.values()) - initial & set(vocab.values()))[:1]}; "
        f"missing: {sorted(initial - {vocab[i] for i in range(first)})[:3]}",
        case=case,
    )
    expect_equal(
        [vocab[first + i] for i in range(len(merges))],
        [left + right for left, right in merges],
        what=f"merge number i makes token {first} + i, its two parts joined",
        why="encoders and file formats recover the order of merges from the ids",
        case=case,
    )


def test_larger_vocabulary_begins_with_the_smaller(adapters, tmp_path):
    text = pseudo_text(400, seed=2) + END
    small_vocab, small_merges = train(adapters, tmp_path, text, 280, [END])
    large_vocab, large_merges = train(adapters, tmp_path, text, 320, [END])
    why = "training is greedy: where it stops cannot change what came before"
    expect_equal(
        large_merges[: len(small_merges)], small_merges, what="merges of 280 begin those of 320", why=why
    )
    expect_equal(
        {i: large_vocab.get(i) for i in small_vocab},
        small_vocab,
        what="ids of 280 keep their tokens in 320",
        why=why,
    )


@pytest.mark.parametrize("special_tokens", [[], [END], [END, "<|pad|>"]])
def test_smallest_vocabulary_has_no_merges(adapters, tmp_path, special_tokens):
    size = 256 + len(special_tokens)
    vocab, merges = train(adapters, tmp_path, "aaaa bbbb", size, special_tokens)
    what = "vocab_size = 256 + the number of special tokens leaves room for no merge"
    why = "vocab_size is the final size, everything included"
    expect_equal(merges, [], what=what, why=why, case=f"vocab_size {size}, special tokens {special_tokens}")
    expect_equal(len(vocab), size, what=what, why=why, case=f"vocab_size {size}")


@pytest.mark.parametrize("vocab_size", [256, 255, 0])
def test_too_small_vocabulary_is_refused(adapters, tmp_path, vocab_size):
    what = "a vocab_size below 256 + the number of special tokens raises an error (ValueError will do)"
    why = (
        "the promise 'at most vocab_size ids' cannot be kept: a model with that many embedding rows would "
        "be fed ids beyond its table"
    )
    try:
        vocab, _ = train(adapters, tmp_path, "some text", vocab_size, [END])
    except Lesson:
        raise
    except Exception:
        return
    fail(
        what=what,
        why=why,
        counterexample=f"asked for vocab_size={vocab_size}, got a vocabulary of {len(vocab)} and no error",
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
