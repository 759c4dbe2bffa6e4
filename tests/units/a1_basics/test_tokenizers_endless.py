"""A stream without white space takes no more memory than any other, and has the ids of the whole text."""

import itertools
import tracemalloc
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_basics.tokenizers import bpe, bpe_fast, chars, pretokenize
from a1_basics.tokenizers.endless import settled
from tests.oracles import bpe as oracle

BYTES = {byte: bytes([byte]) for byte in range(256)}
# Streams are read in blocks of 1,024 characters here, of which a few are held, with their ids. Whoever held the text
# would need 240 kB for it alone, and more for its ids.
BLOCK, CHUNK, NUM_CHUNKS = 1024, 800, 300
BOUND_BYTES = 200_000
RUNS = {"one letter": "a", "letters": "abca", "signs": "^", "blanks": " ", "digits": "7", "Korean": "한"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", BLOCK)
    monkeypatch.setattr(bpe, "ENDLESS_CHARS", BLOCK)


def vocab_of(merges) -> dict[int, bytes]:
    return dict(enumerate([*BYTES.values(), *(left + right for left, right in merges)]))


def peak_bytes(tokenizer, unit: str) -> int:
    """The most memory that a stream of many chunks takes; its ids are those of the whole."""
    chunk = (unit * CHUNK)[:CHUNK]
    whole = array("L", tokenizer.encode(chunk * NUM_CHUNKS))
    assert [*tokenizer.encode_iterable([chunk] * 9)] == tokenizer.encode(
        chunk * 9
    )  # loads what is loaded once
    tracemalloc.start()
    stream = tokenizer.encode_iterable(itertools.repeat(chunk, NUM_CHUNKS))
    assert all(index == wanted for index, wanted in zip(stream, whole, strict=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("run", ["one letter", "signs", "Korean"])
def test_characters_and_bytes_hold_no_more_than_blocks_of_an_endless_word(run):
    unit = RUNS[run]
    for tokenizer in (chars.CharTokenizer({0: unit.encode()}), chars.ByteTokenizer(BYTES)):
        assert peak_bytes(tokenizer, unit) < BOUND_BYTES


@pytest.mark.parametrize(
    "run", [run for run in RUNS if run != "Korean"]
)  # there Python keeps tuples for reuse
def test_byte_pairs_hold_no_more_than_blocks_of_an_endless_word(run):
    merges = oracle.train(RUNS[run] * 40, 6, [])
    assert peak_bytes(bpe_fast.Tokenizer(vocab_of(merges), merges, ["<|e|>"]), RUNS[run]) < BOUND_BYTES


def test_one_chunk_of_any_size_is_read_in_blocks():
    text = "a" * CHUNK * NUM_CHUNKS
    tracemalloc.start()  # after the text, so that it does not count
    assert sum(1 for _ in chars.ByteTokenizer(BYTES).encode_iterable([text])) == len(text)
    assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    tracemalloc.stop()


alphabets = st.sampled_from(["a", "ab", "aab", "abc", "^'", "'s^", " ", " \n", "éa", "한ab", "12", "'"])


@settings(max_examples=150)
@given(st.data(), alphabets, st.integers(0, 25), st.sampled_from([[], ["aba"], ["<|e|>"]]))
def test_an_endless_word_has_the_ids_of_the_whole(data, alphabet, num_merges, special_tokens):
    letters = st.lists(st.sampled_from(alphabet), min_size=1, max_size=150).map("".join)
    text = data.draw(letters) + data.draw(st.sampled_from(["", " ", "s", "x", "1", "'", "<|e|>"]))
    merges = oracle.train(data.draw(letters), num_merges, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", 8)
        patch.setattr(bpe, "ENDLESS_CHARS", 16)
        for module in (bpe, bpe_fast):
            tokenizer = module.Tokenizer(vocab_of(merges), merges, special_tokens)
            assert [*tokenizer.encode_iterable(text)] == tokenizer.encode(text)


@settings(max_examples=100)
@given(st.data(), st.integers(1, 12))
def test_what_is_settled_is_encoded_alike_however_the_word_goes_on(data, num_merges):
    letters = st.text("ab", max_size=80)
    merges = oracle.train(data.draw(st.text("ab", min_size=8, max_size=60)), num_merges, [])
    tokenizer = bpe.Tokenizer(vocab_of(merges), merges)
    word, more = data.draw(st.text("ab", min_size=30, max_size=80)), data.draw(letters)
    place = settled(word, tokenizer._tokens_of, tokenizer._longest_bytes)
    head = tokenizer._tokens_of(word[:place].encode())
    assert tokenizer._tokens_of((word + more).encode())[: len(head)] == head


@settings(max_examples=100)
@given(st.data(), st.text("ab", max_size=30), st.text("ab", max_size=30), st.integers(1, 12))
def test_tokens_are_an_encoding_exactly_when_each_two_of_them_are(data, left, right, num_merges):
    merges = oracle.train(data.draw(st.text("ab", min_size=8, max_size=60)), num_merges, [])
    tokens_of = bpe.Tokenizer(vocab_of(merges), merges)._tokens_of
    tokens = tokens_of(left.encode()) + tokens_of(right.encode())
    is_each_pair = all(tokens_of(a + b) == [a, b] for a, b in itertools.pairwise(tokens))
    assert (tokens_of((left + right).encode()) == tokens) == is_each_pair


def test_a_word_in_which_everything_hangs_on_its_end_is_not_cut():
    """Two letters join from the right: (a, a) made first would join from the left, so each token waits for the end."""
    tokens = {2: [b"aa"], 1: [b"a"]}

    def from_the_right(part: bytes) -> list[bytes]:
        return tokens[1] * (len(part) % 2) + tokens[2] * (len(part) // 2)

    assert settled("a" * 100, from_the_right, 2) == 0
