"""Published tokenizers: read from a `tokenizer.json`, they give the ids that Hugging Face `tokenizers` gives.

The real files of Llama 3 and Qwen cannot lie in a repository. These have their structure (split pattern, normalizer,
added tokens, order of merges) over a small vocabulary, and `tokenizers` itself reads them as the judge.
"""

import itertools
import json
import os
import random
import time
import tracemalloc
import unicodedata
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_basics.tokenizers import bpe, pretokenize, split_bpe
from a1_basics.tokenizers.added_tokens import AddedTokens
from a1_basics.tokenizers.files import read_merges, read_vocab
from a1_basics.tokenizers.pretokenize import pretokens
from shared.errors import ConfigError, DataError
from shared.interchange.tokenizer_json import from_tokenizer_json, read_gpt2_files, to_tokenizer_json
from shared.store.kinds.split_patterns import SPLIT_PATTERNS, pattern_name
from shared.store.kinds.tokenizer import AddedToken, TokenizerFiles, trained_tokenizer
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
TEXT = (
    (
        "It's 2024: the quick brown fox, the lazy dog! def f(x):\n\treturn x + 100000  # why?\r\n\r\n  'S and 'tis "
        "we'LL they're café cafe\u0301 Ångstrom A\u030angstrom 한국어는 아름답다 각 \u1100\u1161\u11a8 日本語、中文。 "
        "😀👍🏽 naïve  \t\t x\u3000y ^^^^ aaaaaaaa abababab 12345678 3.14 <|im_start|>user\nhi<|im_end|>\n<tool_call>\n"
    )
    + "\u0915\u093c! stop!\n\n" * 6
)  # a letter and its mark: what U+0958 becomes, and merges that reach from mark to sign
PIECES = [
    *[
        "a",
        "b",
        "ab",
        "the",
        " the",
        "'s",
        "'S",
        "'\u017f",
        "'ll",
        "1",
        "234",
        " 5",
        "!",
        "^^",
        "...",
        "_",
        "-",
    ],
    *[" ", "  ", "\t", "\n", "\r\n", "\n\n", "\u3000", "\xa0", "\x1c", "\x85", "\x00", "\u200d", "\ufeff"],
    *[
        "é",
        "e\u0301",
        "\u0301",
        "\u0327",
        "Å",
        "\u212b",
        "\u0958",
        "\u0f43",
        "각",
        "\u1100",
        "\u1161",
        "\u11a8",
    ],
    *["한국어", "日本", "、", "。", "😀", "👍🏽", "🇰🇷", "ſ", "İ", "²", "Ⅷ", "٣", "\u0338", ">", "="],
    *[
        END,
        "<|end",
        "<|im_end|>",
        "<|im_start|>",
        "<tool_call>",
        "[MASK]",
        " [MASK] ",
        "[MASK]!",
        "word",
        "wordy",
    ],
]
# Libraries carry Unicode tables of different years; characters that the oldest does not know are left out.
known = st.characters(exclude_categories=["Cs", "Cn"])
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(known, max_size=40)


def added(content, token_id, **switches):
    return AddedToken(content, token_id, **switches)


def small(pattern: str, *, num_merges: int = 150, contents=(END,), **options) -> TokenizerFiles:
    """A vocabulary learned from TEXT, cut by a pattern; added tokens last, as Llama 3 and Qwen have them."""
    words = split_bpe.regex.findall(SPLIT_PATTERNS[pattern], TEXT)
    counted = {oracle.as_bytes(word): words.count(word) for word in words}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < num_merges and (pairs := oracle.count_pairs(counted)):
        _, best = max((count, pair) for pair, count in pairs.items())
        merges.append(best)
        counted = {oracle.glue(word, *best): count for word, count in counted.items()}
    made = dict.fromkeys(left + right for left, right in merges)
    switched = [token if isinstance(token, dict) else {"content": token} for token in contents]
    names = [token["content"].encode() for token in switched]
    ids = {
        token: i
        for i, token in enumerate(dict.fromkeys([*(bytes([byte]) for byte in range(256)), *made, *names]))
    }
    vocab = {i: token for token, i in ids.items()}
    # An added token that the vocabulary has already keeps its id.
    specials = tuple(AddedToken(token_id=ids[token["content"].encode()], **token) for token in switched)
    return TokenizerFiles(vocab, merges, specials, "bpe", pattern, **options)


def mixed_up(files: TokenizerFiles, seed: int) -> TokenizerFiles:
    """The merges in an order that no training makes, with every other way to make each token, as converters list."""
    tokens = set(files.vocab.values())
    merges = [(t[:i], t[i:]) for t in sorted(tokens) for i in range(1, len(t)) if {t[:i], t[i:]} <= tokens]
    random.Random(seed).shuffle(merges)
    return TokenizerFiles(files.vocab, merges, files.added_tokens, "bpe", files.pattern)


QWEN = (END, "<|im_start|>", "<|im_end|>", {"content": "<tool_call>", "special": False})
ODD = (
    END,
    {"content": "[MASK]", "lstrip": True},
    {"content": "[MASK]!", "special": False},
    {"content": "<tool_call>", "rstrip": True, "special": False},
    {"content": "word", "single_word": True, "special": False, "normalized": True},
    {"content": "the", "lstrip": True, "rstrip": True, "normalized": True, "special": False},
    {"content": "ab", "single_word": True, "rstrip": True, "special": False},
)
KINDS = {
    "gpt2": small("gpt2"),
    "llama3": small("llama3", contents=("<|begin_of_text|>", "<|end_of_text|>", END), ignore_merges=True),
    "qwen2": small("qwen2", contents=QWEN, normalizer="NFC"),
    "odd added tokens": small("gpt2", contents=ODD),
    "merges of a converter": mixed_up(small("llama3", num_merges=80), 0),
    "merges in disorder": mixed_up(small("gpt2", num_merges=80), 1),
}
OURS = {name: split_bpe.Tokenizer(files) for name, files in KINDS.items()}


@pytest.fixture(scope="module")
def theirs():
    tokenizers = pytest.importorskip("tokenizers", reason="not checked: the hf extra is not installed")
    return {
        name: tokenizers.Tokenizer.from_str(json.dumps(to_tokenizer_json(files)))
        for name, files in KINDS.items()
    }


def agree(name, judge, text):
    ids = OURS[name].encode(text)
    assert ids == judge.encode(text, add_special_tokens=False).ids, (name, text)
    assert OURS[name].decode(ids) == judge.decode(ids, skip_special_tokens=False), (name, text)


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_those_of_hugging_face(name, theirs):
    @settings(max_examples=300)
    @given(texts)
    def on_any_text(text):
        agree(name, theirs[name], text)

    on_any_text()


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_those_of_hugging_face_on_seeded_and_naughty_strings(name, theirs):
    rng = random.Random(7)
    points = [i for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cs", "Cn", "Co")]
    narrow = [
        *range(0x20, 0x250),
        *range(0x300, 0x370),
        *range(0xAC00, 0xAE00),
        *range(0x1F600, 0x1F640),
        9,
        10,
        13,
    ]
    samples = [TEXT, TEXT[::-1], TEXT * 3]
    for source in (points, narrow):
        samples += ["".join(map(chr, rng.choices(source, k=rng.randrange(1, 30)))) for _ in range(300)]
    samples += ["".join(rng.choices(PIECES, k=rng.randrange(1, 30))) for _ in range(600)]
    if os.environ.get("LM_TEST_DATA"):
        folder = Path(os.environ["LM_TEST_DATA"]) / "unicode"
        samples += json.loads((folder / "blns.json").read_text(encoding="utf-8"))
        emoji = (folder / "emoji-test.txt").read_text(encoding="utf-8").splitlines()
        samples += [line.partition("#")[2] for line in emoji[::10]]
    for text in samples:
        if all(unicodedata.category(character) not in ("Cn", "Cs") for character in text):
            agree(name, theirs[name], text)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=60)
@given(text=texts, data=st.data())
def test_a_stream_has_the_ids_of_the_whole(name, text, data):
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    chunks = [text[a:b] for a, b in itertools.pairwise([0, *sorted(places), len(text)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", data.draw(st.sampled_from([1, 3, 10])))
        patch.setattr(split_bpe, "ENDLESS_CHARS", data.draw(st.sampled_from([1, 10, 1000])))
        assert [*OURS[name].encode_iterable(chunks)] == OURS[name].encode(text)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("block", [1, 20])
def test_a_stream_is_not_cut_where_a_rule_reaches_across(name, block, monkeypatch):
    """Beside a token that takes white space along, inside a token, and where normalization joins two parts."""
    monkeypatch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", block)
    monkeypatch.setattr(split_bpe, "ENDLESS_CHARS", block)
    tail = "y " * 12
    for text in (
        "x <tool_call>  z",
        f"x{END}",
        "a \u0958! b",
        "wor word w",
        "a!\n\nb",
        "c [MASK] d",
        "e\u0301 f",
    ):
        for shift in range(
            24
        ):  # held text is looked at when it has doubled: try every place relative to that
            whole = "q" * shift + text + tail
            assert [*OURS[name].encode_iterable(whole)] == OURS[name].encode(whole)


KIN = [
    "a",
    "abc",
    "^",
    "^'",
    "'s^",
    " ",
    "\n",
    " \n",
    "7",
    "12",
    "a1",
    "한",
    "한국a",
    "é",
    "\u1100\u1161\u11a8",
    "a\u0301",
]


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=100)
@given(st.data(), st.sampled_from(KIN), st.sampled_from(["", "x ", "x", "!", "\n", "[MASK]", END]))
def test_an_endless_run_has_the_ids_of_the_whole(name, data, alphabet, head):
    run = (
        data.draw(st.lists(st.sampled_from(alphabet), min_size=60, max_size=250))
        if len(alphabet) < 3
        else alphabet
    )
    tail = data.draw(
        st.sampled_from(
            ["", " ", "s", "x", "1", "'", "\u0301", "\u11a8", "\n", "  \n", "word", "[MASK]", END]
        )
    )
    text = head + "".join(run) * (60 if run is alphabet else 1) + tail
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", 8)
        patch.setattr(split_bpe, "ENDLESS_CHARS", 16)
        assert [*OURS[name].encode_iterable([text])] == OURS[name].encode(text)


def with_merges(pattern: str, pairs, more=(), **options) -> TokenizerFiles:
    """A vocabulary of bytes, of what some merges make, and of more tokens."""
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in pairs), *more]
    added_tokens = options.pop("added_tokens", ())
    return TokenizerFiles(dict(enumerate(tokens)), [*pairs], added_tokens, "bpe", pattern, **options)


LINE_END_AND_BLANK = with_merges("llama3", [(b"\n", b" ")])
MASK = AddedToken("[MASK]", 256, lstrip=True)
NOT_CUT = {
    "marks that change places": (KINDS["qwen2"], "^", "\u0301", "\u0327"),
    "blanks that an added token takes": (
        with_merges("gpt2", [], [b"[MASK]"], added_tokens=(MASK,)),
        "x",
        " ",
        "[MASK]",
    ),
    "blanks between line ends": (LINE_END_AND_BLANK, "x\n", " ", "\n"),
    "line ends after a sign": (LINE_END_AND_BLANK, "^", "\n", " \n"),
    "letters that come apart": (
        with_merges("qwen2", [(b"\xe0", b"\xa4"), (b"a", b"\xe0\xa4")], normalizer="NFC"),
        *("", "\u0958a", ""),
    ),
    "parts that are tokens": (
        with_merges("llama3", [], [b"a" * n for n in range(2, 21)], ignore_merges=True),
        *("", "a", ""),
    ),
}


@pytest.mark.parametrize("case", NOT_CUT)
def test_an_endless_run_is_not_cut_where_a_rule_reaches_across(case, monkeypatch):
    monkeypatch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", 8)
    monkeypatch.setattr(split_bpe, "ENDLESS_CHARS", 16)
    files, head, unit, tail = NOT_CUT[case]
    tokenizer = split_bpe.Tokenizer(files)
    for length in range(60, 140):
        text = head + (unit * length)[:length] + tail
        assert [*tokenizer.encode_iterable([text])] == tokenizer.encode(text)


@given(st.text("ab^ ", max_size=60), st.text("ab^ ", max_size=60), st.sampled_from(sorted(KINDS)))
def test_neighbours_that_stay_apart_stay_apart_in_any_company(left, right, name):
    """The law that `endless.py` rests on, for merges in any order: tokens are an encoding when each two of them are."""
    tokenizer = OURS[name]
    tokens = tokenizer._tokens_of(left.encode()) + tokenizer._tokens_of(right.encode())
    apart = all(tokenizer._tokens_of(a + b) == [a, b] for a, b in itertools.pairwise(tokens))
    assert (tokenizer._tokens_of((left + right).encode()) == tokens) == apart


@pytest.mark.parametrize("name", ["llama3", "qwen2"])
@pytest.mark.parametrize("unit", ["a", "^", " ", "\n", "7", "a1"])
def test_a_stream_without_a_clean_cut_takes_constant_memory(name, unit, monkeypatch):
    monkeypatch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", 1024)
    monkeypatch.setattr(split_bpe, "ENDLESS_CHARS", 1024)
    tokenizer, chunk = OURS[name], (unit * 800)[:800]
    assert [*tokenizer.encode_iterable([chunk] * 9)] == tokenizer.encode(chunk * 9)
    tracemalloc.start()
    num_bytes = sum(len(tokenizer.vocab[i]) for i in tokenizer.encode_iterable(itertools.repeat(chunk, 30)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_bytes == 24_000
    # A few blocks of 1,024 characters take 0.2 MB, the same for any number of chunks. Whoever held the text would need
    # 30 to 180 bytes for each of its characters: 0.7 to 4 MB here.
    assert peak_bytes < 400_000


@given(texts)
def test_gpt2s_pattern_is_that_of_the_fast_tokenizer(text):
    assert split_bpe.regex.findall(SPLIT_PATTERNS["gpt2"], text) == pretokens(text)


@given(texts)
def test_merging_one_at_a_time_is_the_clear_tokenizers_where_merges_come_from_training(text):
    files = KINDS["gpt2"]
    clear = bpe.Tokenizer(files.vocab, files.merges, files.special_tokens)
    assert OURS["gpt2"].encode(text) == clear.encode(text)


@given(st.text("ab", min_size=65, max_size=200), st.sampled_from(sorted(KINDS)))
def test_long_words_merge_as_short_ones_do(word, name):
    tokenizer = OURS[name]
    symbols = [*word.encode()]
    assert tokenizer._merge_long([*symbols]) == tokenizer._merge_short([*symbols])


@given(
    st.lists(
        st.sampled_from(["a", "é", "\u0301", "\u0327", "\u0323", "\u20dd", "각", "\u11a8", "\u0f73"])
    ).map("".join)
)
def test_composition_in_linear_time_is_the_librarys(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_bpe, "_MANY_MARKS", split_bpe.regex.compile(r"\p{M}+"))
        assert split_bpe.nfc(text) == unicodedata.normalize("NFC", text)


RUNS = {
    "one letter": "a",
    "signs": "^",
    "spaces": " ",
    "digits": "7",
    "line ends": "\n",
    "marks in bad order": "\u0301\u0327",
    "apostrophes": "'",
    "spaces and letters": " x",
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", ["llama3", "qwen2"])
def test_any_run_takes_nearly_linear_time(name, run, monkeypatch):
    tokenizer = OURS[name]
    monkeypatch.setattr(pretokenize, "_STREAM_BLOCK_CHARS", 100)
    monkeypatch.setattr(split_bpe, "ENDLESS_CHARS", 100)

    def seconds(text):
        tries = []
        for _ in range(2):
            start = time.process_time()
            [*tokenizer.encode_iterable(text[at : at + 50] for at in range(0, len(text), 50))]
            tries.append(time.process_time() - start)
        return min(tries)

    unit = "a" + RUNS[run] * (4_000 // len(RUNS[run]))
    # Eight times the text: eight times the work and a little more at n log n, sixty-four times when quadratic.
    once, eight = seconds(unit), seconds("a" + unit[1:] * 8)
    assert eight < 24 * once + 0.02, f"{run}: {once:.3f} s, eight times as much {eight:.3f} s"


def test_known_answers_without_a_judge():
    digits, qwen, llama = KINDS["gpt2"], KINDS["qwen2"], KINDS["llama3"]
    cut = {
        files.pattern: split_bpe.Tokenizer(files)._pretokens(" 2048\n\n\tx'Sy")
        for files in (digits, qwen, llama)
    }
    assert cut == {
        "gpt2": [" 2048", "\n\n", "\t", "x", "'", "Sy"],
        "llama3": [" ", "204", "8", "\n\n", "\tx", "'S", "y"],
        "qwen2": [" ", "2", "0", "4", "8", "\n\n", "\tx", "'S", "y"],
    }
    composed = OURS["qwen2"].encode("cafe\u0301")
    assert composed == OURS["qwen2"].encode("café") != OURS["llama3"].encode("cafe\u0301")
    assert OURS["qwen2"].decode(composed) == "café"
    assert OURS["gpt2"].decode(OURS["gpt2"].encode("cafe\u0301")) == "cafe\u0301"


def test_a_token_needs_no_merges_when_they_are_to_be_ignored():
    vocab = dict(enumerate([*(bytes([byte]) for byte in range(256)), b"abc", b"ab"]))
    for ignore_merges, ids in ((True, [256]), (False, [257, ord("c")])):
        files = TokenizerFiles(vocab, [(b"a", b"b")], (), pattern="llama3", ignore_merges=ignore_merges)
        assert split_bpe.Tokenizer(files).encode("abc") == ids


def test_added_tokens_follow_their_switches():
    tokens = AddedTokens(
        [
            added("<l>", 1, lstrip=True),
            added("<r>", 2, rstrip=True),
            added("w", 3, single_word=True),
            added("aw", 4),
        ]
    )
    assert [*tokens.split("x  <l> <r> \n y")] == [
        *[("x", None), ("  <l>", 1), (" ", None), ("<r> \n ", 2), ("y", None)]
    ]
    assert [*AddedTokens([added("a", 1), added("ab", 2), added("bcd", 3)]).split("abcd")] == [
        ("ab", 2),
        ("cd", None),
    ]
    assert [*tokens.split("<r>  <l>")] == [("<r>  ", 2), ("<l>", 1)]
    assert [*tokens.split("w xw w_ w")] == [("w", 3), (" xw w_ ", None), ("w", 3)]
    assert [*tokens.split("aw w")] == [("aw", 4), (" ", None), ("w", 3)]
    with pytest.raises(ConfigError, match="is empty"):
        AddedTokens([added("", 1)])


def test_tokens_that_are_normalized_take_what_the_others_left():
    tokens = AddedTokens([added("ab", 1, normalized=True), added("bc", 2)])
    assert [*tokens.split("abcab")] == [("a", None), ("bc", 2), ("ab", 1)]


def test_missing_bytes_and_tokens_are_named():
    with pytest.raises(DataError, match="no token for the byte b'c'"):
        split_bpe.Tokenizer(TokenizerFiles({0: b"a", 1: b"b"}, [], ())).encode("abc")
    with pytest.raises(ConfigError, match="needs the token b'ab'"):
        split_bpe.Tokenizer(TokenizerFiles({0: b"a", 1: b"b"}, [(b"a", b"b")], ()))
    with pytest.raises(ConfigError, match="'chars' has no merges"):
        split_bpe.Tokenizer(TokenizerFiles({}, [], (), "chars"))


def test_gpt2_itself():
    """The published vocabulary: written, read back, and judged where the judge is installed."""
    if not os.environ.get("LM_TEST_DATA"):
        pytest.skip("not checked: LM_TEST_DATA is unset")
    folder = Path(os.environ["LM_TEST_DATA"]) / "gpt2"
    vocab, merges = read_vocab(folder / "encoder.json"), read_merges(folder / "vocab.bpe")
    files = trained_tokenizer(vocab, merges, [END])
    assert read_gpt2_files(folder / "encoder.json", folder / "vocab.bpe") == files
    content = to_tokenizer_json(files)
    assert from_tokenizer_json(content) == files
    assert files.is_plain
    ours = split_bpe.Tokenizer(files)
    assert ours.encode("Hello, world!") == [15496, 11, 995, 0]
    assert ours.encode(f"{END}a") == [50256, 64]
    assert ours.encode(TEXT) == bpe.Tokenizer(vocab, merges, [END]).encode(TEXT)
    if find_spec("tokenizers"):
        from tokenizers import Tokenizer

        judge = Tokenizer.from_str(json.dumps(content))
        for text in (TEXT, TEXT[::-1], END.join(PIECES)):
            assert ours.encode(text) == judge.encode(text).ids


@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_is_read_back(name):
    files = KINDS[name]
    content = json.loads(json.dumps(to_tokenizer_json(files)))
    read = from_tokenizer_json(content)
    in_order = sorted(files.added_tokens, key=lambda token: token.token_id)
    assert read == replace(files, added_tokens=tuple(in_order))


def test_patterns_are_known_in_each_published_spelling():
    assert [pattern_name(text) for text in SPLIT_PATTERNS.values()] == [*SPLIT_PATTERNS]
    assert pattern_name(SPLIT_PATTERNS["gpt2"].replace("{L}", "{Lu}")) is None
