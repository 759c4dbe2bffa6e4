"""The vocabulary that training makes: special tokens, its size, and its ids.

Ids of bytes and special tokens are free among themselves; merges come after them, in order of creation.
"""

import random

import pytest

from tests.a1_basics.small_corpora import END, expect_merges, pseudo_text, train
from tests.harness.explain import Lesson, expect, expect_equal, fail
from tests.oracles import bpe as oracle


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
