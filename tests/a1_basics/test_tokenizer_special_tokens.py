"""Special tokens: single ids that text is cut at, the longest first, and that only the caller names."""

import random

import pytest

from tests.a1_basics.small_tokenizer import END, WHY_EXACT, expect_encoding, tokenizer, trained
from tests.harness.explain import expect, expect_equal, fail
from tests.oracles import bpe as oracle


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
