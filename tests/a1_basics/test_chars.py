"""A character tokenizer: the vocabulary of a text, ids that come back as the same text, and an honest refusal."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.explain import expect, expect_equal

END = "<|endoftext|>"
TEXT = "Emma said: »né!«\r\n\tThe caf\u00e9's 2 caf\u0065\u0301s, \U0001f600.\n"


def vocabulary(adapters, tmp_path, text: str, special_tokens=()) -> dict[int, bytes]:
    file = tmp_path / "corpus.txt"
    file.write_bytes(text.encode())
    return adapters.run_train_chars(file, list(special_tokens))


def tokenizer(adapters, tmp_path, text: str, special_tokens=()):
    vocab = vocabulary(adapters, tmp_path, text, special_tokens)
    return adapters.get_char_tokenizer(vocab, list(special_tokens))


def test_vocabulary_is_the_set_of_characters(adapters, tmp_path):
    vocab = vocabulary(adapters, tmp_path, TEXT)
    expect_equal(
        [vocab[i] for i in sorted(vocab)],
        [c.encode() for c in sorted(set(TEXT))],
        what="each character of the text is one token, in the order of code points, as UTF-8 bytes",
        why="ids that follow from the text alone are the same for everybody; a character missing from the vocabulary "
        "cannot be written",
        case=f"text {TEXT!r}: {len(set(TEXT))} characters",
    )
    expect_equal(
        sorted(vocab),
        list(range(len(vocab))),
        what="ids are 0, 1, 2, ... without gaps",
        why="they are rows of the embedding table",
    )


def test_text_is_read_as_it_stands(adapters, tmp_path):
    vocab = vocabulary(adapters, tmp_path, "a\r\nb\u2028\ufeffc")
    expect_equal(
        {token.decode() for token in vocab.values()},
        {"a", "\r", "\n", "b", "\u2028", "\ufeff", "c"},
        what="line ends and invisible characters are characters like any other",
        why="text mode turns \\r\\n into \\n, and then such a file cannot be encoded",
        case="text 'a\\r\\nb\\u2028\\ufeffc'",
    )


def test_special_tokens_come_last_and_are_no_text(adapters, tmp_path):
    vocab = vocabulary(adapters, tmp_path, f"ab{END}ba", [END])
    expect_equal(
        vocab,
        {0: b"a", 1: b"b", 2: END.encode()},
        what="special tokens follow the characters, and their letters are not counted as text",
        why="the mark between documents would otherwise bring nine letters and three signs into the vocabulary",
        case=f"text 'ab{END}ba' with the special token {END}",
    )


def test_ids_by_hand(adapters):
    vocab = {0: b"n", 1: b"a", 2: "é".encode(), 3: b" "}
    got = adapters.get_char_tokenizer(vocab, [])
    expect_equal(
        (got.encode("an né"), got.decode([0, 2, 3, 1])),
        ([1, 0, 3, 0, 2], "né a"),
        what="encode looks each character up, decode puts them back",
        why="é is one character and two bytes: a character tokenizer has one id for it",
        case="vocabulary n=0, a=1, é=2, space=3",
    )


def test_text_comes_back(adapters, tmp_path):
    made = tokenizer(adapters, tmp_path, TEXT)
    for text in (TEXT, "", TEXT[::-1], "\n\n\r\n", "é\u0301"):
        ids = made.encode(text)
        expect_equal(
            (made.decode(ids), len(ids)),
            (text, len(text)),
            what="decode(encode(text)) == text, with one id for each character",
            why="what the model learns must be the text, not a version of it: no normal form, no trimming",
            case=repr(text),
        )


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_every_text_comes_back_from_its_own_vocabulary(adapters, tmp_path, text):
    made = tokenizer(adapters, tmp_path, text + "x")
    expect_equal(
        made.decode(made.encode(text)),
        text,
        what="a text can be written with the characters that it has",
        why="Unicode is large: scripts, marks, emoji, controls",
        case=repr(text),
    )


@pytest.mark.parametrize(
    ("text", "unseen"), [("abXba", "X"), ("ab\u00e9", "\u00e9"), ("\U0001f600", "\U0001f600")]
)
def test_unseen_character_is_named(adapters, tmp_path, text, unseen):
    made = tokenizer(adapters, tmp_path, "aabb")
    why = (
        "left out, replaced or given another's id, it changes the text without a word; a bare KeyError does not say "
        "what to do"
    )
    try:
        got = made.encode(text)
    except Exception as error:
        told = str(error)
        expect(
            repr(unseen) in told or unseen in told or f"{ord(unseen):04X}" in told.upper(),
            what="the error names the character that is not in the vocabulary",
            why=why,
            counterexample=f"raised {type(error).__name__}: {told}",
            case=f"vocabulary a, b; text {text!r}",
        )
        expect(
            len(told) > 20,
            what="the error is a sentence",
            why=why,
            counterexample=f"raised {type(error).__name__}: {told}",
            case=f"vocabulary a, b; text {text!r}",
        )
        return
    expect(
        False,
        what="a character that is not in the vocabulary raises an error",
        why=why,
        counterexample=f"vocabulary a, b: encode({text!r}) gave {got}",
    )


def test_special_tokens_are_one_id(adapters, tmp_path):
    made = tokenizer(adapters, tmp_path, "abc", [END, END + "!"])
    expect_equal(
        (made.encode(f"a{END}b{END}!c"), made.decode([0, 3, 1, 4, 2])),
        ([0, 3, 1, 4, 2], f"a{END}b{END}!c"),
        what="a special token in the text is one id, the longest where one begins another",
        why="the end of a document is a decision of its own, not thirteen letters",
        case=f"special tokens {END} (3) and {END}! (4)",
    )


def test_streams_give_the_same_ids(adapters, tmp_path):
    made = tokenizer(adapters, tmp_path, TEXT, [END])
    whole = f"Emma{END}said\n{END}{END}"
    want = made.encode(whole)
    for size in (1, 2, 5, 14, len(whole)):
        pieces = (whole[i : i + size] for i in range(0, len(whole), size))
        expect_equal(
            list(made.encode_iterable(pieces)),
            want,
            what="encode_iterable gives the ids of the joined strings, wherever they are cut",
            why="files are read in pieces, and a special token may lie across two",
            case=f"pieces of {size} characters of {whole!r}",
        )


def test_streams_are_not_read_to_their_end(adapters, tmp_path):
    made = tokenizer(adapters, tmp_path, "ab ", [END])
    taken = []

    def long():
        for _ in range(4000):
            taken.append(1)
            yield "ab ba " * 200

    stream = iter(made.encode_iterable(long()))
    first = [next(stream) for _ in range(4)]
    expect_equal(
        first,
        made.encode("ab b"),
        what="the ids of a stream begin with those of its beginning",
        why="they are those of the joined text",
    )
    expect(
        len(taken) < 1000,
        what="a stream gives ids before it has been read to its end",
        why="files are larger than memory",
        counterexample=f"{len(taken)} strings of 1,200 characters, of 4,000, were read for the first four ids",
    )


def test_two_tokenizers_are_apart(adapters):
    first = adapters.get_char_tokenizer({0: b"a", 1: b"b"}, [])
    second = adapters.get_char_tokenizer({0: b"b", 1: b"a"}, [])
    expect_equal(
        (first.encode("ab"), second.encode("ab"), first.encode("ab")),
        ([0, 1], [1, 0], [0, 1]),
        what="each tokenizer has its own vocabulary",
        why="a table on the class or in the module is the last one's",
        case="a=0, b=1 beside b=0, a=1",
    )


def test_vocabulary_can_be_read(adapters):
    vocab = {0: b"a", 1: b"b", 2: END.encode()}
    made = adapters.get_char_tokenizer(vocab, [END])
    expect_equal(
        dict(made.vocab),
        vocab,
        what="the tokenizer's vocab is the dict from id to bytes",
        why="embedding tables and bytes per token are measured by it",
    )
