"""Cutting text: special tokens, streams and file chunks never change the pre-tokens."""

import itertools

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from a1_basics.tokenizers import pretokenize
from a1_basics.tokenizers.pretokenize import SpecialTokens, file_chunks, pretokens, read_text, stream_pieces
from shared.errors import ConfigError, DataError
from tests.oracles import bpe as oracle

SPECIALS = [
    [],
    ["<|e|>"],
    ["<|e|>", "<|e|><|e|>"],
    ["ab", "bc", "abcd"],
    ["a b", " "],
    ["aba"],
    ["\n\n", "'"],
]
PIECES = [
    "a",
    "b",
    "c",
    "d",
    " ",
    "  ",
    "\n",
    "\r\n",
    "'",
    "s",
    "ll",
    "v",
    "e",
    "<|e|>",
    "<|e",
    "é",
    "한",
    "1",
    "²",
    "!",
]
PIECES += ["\u3000", "\x1c", "😀", "e\u0301", "\ufeff"]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40)
specials = st.sampled_from(SPECIALS)


def pieces_of(pieces):
    """Pieces as (pre-token or special token, is_special)."""
    return [
        (word, special) for piece, special in pieces for word in ([piece] if special else pretokens(piece))
    ]


@given(texts | st.text(alphabet="a' \n1!sélv\u3000한", max_size=400))
def test_the_kernels_start_pretokens_where_the_pattern_does(text):
    from a1_basics.tokenizers import split_scalar, split_simd

    data = np.frombuffer(text.encode() or b"x", dtype=np.uint8)
    begin = np.uint64(data.ctypes.data)
    end = begin + np.uint64(len(text.encode()))
    starts = np.empty(len(data) + 1 + split_simd.SLACK_STARTS, dtype=np.uint64)
    lengths = [len(word.encode()) for word in pretokens(text)]
    for split in (split_scalar.split_scalar, split_simd.split_all):
        count = split(begin, end, split_scalar.character_classes(), starts)
        assert (starts[:count] - begin).tolist() == list(itertools.accumulate([0, *lengths]))[: len(lengths)]


@given(
    st.text(alphabet="a' \n1!sélv\u3000한", max_size=200),
    st.text(alphabet="a' \n1!sélv\u3000한", max_size=90),
)
def test_the_kernels_do_not_look_past_the_end_of_a_text(text, behind):
    """Texts lie end to end in one buffer, and whole blocks are read: what belongs to the next must not count."""
    from a1_basics.tokenizers import split_scalar, split_simd

    data = np.frombuffer((text + behind).encode() or b"x", dtype=np.uint8)
    begin = np.uint64(data.ctypes.data)
    end, limit = begin + np.uint64(len(text.encode())), begin + np.uint64(len((text + behind).encode()))
    starts = np.zeros(len(data) + 1 + split_simd.SLACK_STARTS, dtype=np.uint64)
    carried = np.zeros(split_simd.NUM_CARRIED, dtype=np.uint64)
    classes = split_scalar.character_classes()
    count = split_simd.split_simd(begin, end, limit, classes, carried, starts, 0)
    lengths = [len(word.encode()) for word in pretokens(text)]
    assert (starts[:count] - begin).tolist() == [*itertools.accumulate([0, *lengths])][: len(lengths)]


@given(st.lists(st.text(max_size=12) | st.text("a한", max_size=12), max_size=12))
def test_ends_in_characters_become_ends_in_bytes(texts):
    from a1_basics.tokenizers import split_scalar

    data = np.frombuffer("".join(texts).encode() or b"x", dtype=np.uint8)
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    split_scalar.character_ends(np.uint64(data.ctypes.data), ends)
    assert ends.tolist() == list(itertools.accumulate(len(text.encode()) for text in texts))


def test_every_character_has_the_class_that_the_pattern_gives_it():
    from a1_basics.tokenizers import split_scalar

    classes = split_scalar.character_classes()
    for pattern, kinds in [(r"\p{L}", [1]), (r"\p{N}", [2]), (r"\s", [3, 4]), (" ", [3])]:
        fits = regex.compile(pattern).fullmatch
        step = 7  # every seventh character, and each one near the bounds of the encoding's lengths
        points = {
            *range(0, 0xD800, step),
            *range(0xE000, 0x110000, 97),
            *range(0x3100),
            0xFFFF,
            0x10000,
            0x10FFFF,
        }
        assert all((classes[point] in kinds) == bool(fits(chr(point))) for point in points)


@given(texts)
def test_pretokens_are_those_of_the_published_pattern(text):
    assert pretokens(text) == oracle.PATTERN.findall(text)
    assert "".join(pretokens(text)) == text


@given(texts, specials)
def test_split_takes_the_leftmost_and_then_the_longest(text, special_tokens):
    assert list(SpecialTokens(special_tokens).split(text)) == oracle.split_at_special(text, special_tokens)


@given(texts, specials, st.data())
def test_a_stream_has_the_pieces_of_the_whole(text, special_tokens, data):
    special = SpecialTokens(special_tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    chunks = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", data.draw(st.sampled_from([1, 2, 5, 20])))
        assert pieces_of(stream_pieces(chunks, special)) == pieces_of(special.split(text))


@given(texts.filter(bool), specials, st.data())
def test_file_chunks_have_the_pieces_of_the_whole(tmp_path_factory, text, special_tokens, data):
    special = SpecialTokens(special_tokens)
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokenize, "_CUT_WINDOW_BYTES", data.draw(st.sampled_from([1, 4, 16])))
        chunks = list(file_chunks(path, data.draw(st.sampled_from([1, 3, 10])), special))
    assert chunks[0][0] == 0
    assert chunks[-1][1] == path.stat().st_size
    assert all(left[1] == right[0] for left, right in itertools.pairwise(chunks))
    got = [piece for start, end in chunks for piece in pieces_of(special.split(read_text(path, start, end)))]
    assert got == pieces_of(special.split(text))


def test_chunks_are_cut_at_special_tokens_when_there_are_any(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("some words here <|e|>" * 50)
    data = path.read_bytes()
    inner = [start for start, _ in file_chunks(path, 100, SpecialTokens(["<|e|>"]))][1:]
    assert len(inner) >= 5
    assert all(data[start:].startswith(b"<|e|>") for start in inner)


def test_a_stream_holds_little_and_yields_early():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "word after word, " * 8

    pieces = itertools.islice(stream_pieces(endless(), SpecialTokens(["<|e|>"])), 20)
    assert max(len(piece) for piece, _ in pieces) < 3 * pretokenize._STREAM_BLOCK_CHARS
    assert read < 20 * 200


def test_an_empty_special_token_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        SpecialTokens(["<|e|>", ""])


def test_invalid_utf8_names_file_offset_and_mend(tmp_path):
    path = tmp_path / "broken.txt"
    path.write_bytes(b"good text " * 3 + b"\xff\xfe more")
    with pytest.raises(DataError, match=r"broken.txt.*offset 30.*--errors=replace"):
        read_text(path)
    with pytest.raises(DataError, match="offset 30"):
        read_text(path, 20)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"")])
def test_a_missing_or_empty_corpus_is_refused(tmp_path, make):
    path = tmp_path / "corpus.txt"
    make(path)
    with pytest.raises(DataError, match=r"corpus.txt"):
        list(file_chunks(path, 10, SpecialTokens()))
