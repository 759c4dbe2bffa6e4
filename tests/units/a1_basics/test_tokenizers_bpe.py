"""The clear and the fast tokenizer agree with each other, with a slow oracle, and with GPT-2's own files."""

import copy
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_basics.tokenizers import bpe, bpe_fast
from a1_basics.tokenizers.pretokenize import SpecialTokens
from shared.errors import ConfigError, DataError
from shared.store.kinds.tokenizer import bytes_to_text
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
BOTH = pytest.mark.parametrize("module", [bpe, bpe_fast], ids=["clear", "fast"])
SPECIALS = [[], ["<|e|>"], ["<|e|>", "<|e|><|e|>"], ["ab", "bc", "abcd"], ["a b", " x"], ["aba"], ["b"]]
MIXED = [
    "a",
    "b",
    "c",
    " ",
    "  ",
    "\n",
    "'",
    "s",
    "ll",
    "<|e|>",
    "<|e",
    "é",
    "한",
    "1",
    "!",
    "\u3000",
    "😀",
    "\r\n",
]
ALPHABETS = [["a"], ["a", "b"], ["a", "b", " "], MIXED]
texts = st.text(min_size=1, max_size=120) | st.sampled_from(ALPHABETS).flatmap(
    lambda alphabet: st.lists(st.sampled_from(alphabet), min_size=1, max_size=200).map("".join)
)


def corpus(folder: Path, text: str) -> Path:
    path = folder / "corpus.txt"
    path.write_bytes(text.encode())
    return path


@settings(max_examples=150)
@given(texts, st.sampled_from(SPECIALS), st.sampled_from([0, 1, 3, 40]))
def test_clear_and_fast_training_agree_with_the_oracle(tmp_path_factory, text, special_tokens, num_merges):
    path = corpus(tmp_path_factory.mktemp("corpus"), text)
    vocab_size = len(bpe.initial_vocab(1000, SpecialTokens(special_tokens))) + num_merges
    clear = bpe.train_bpe(path, vocab_size, special_tokens)
    assert bpe_fast.train_bpe(path, vocab_size, special_tokens, num_workers=1) == clear
    assert clear[1] == oracle.train(text, num_merges, special_tokens)


def byte_vocab(merges) -> dict[int, bytes]:
    return dict(enumerate([bytes([b]) for b in range(256)] + [left + right for left, right in merges]))


@settings(max_examples=150)
@given(texts, texts, st.sampled_from(SPECIALS))
def test_clear_and_fast_encoding_agree_with_the_oracle(text, other, special_tokens):
    merges = oracle.train(text, 40, special_tokens)
    clear = bpe.Tokenizer(byte_vocab(merges), merges, special_tokens)
    fast = bpe_fast.Tokenizer(byte_vocab(merges), merges, special_tokens)
    for sample in (text, other, text):
        ids = fast.encode(sample)
        assert ids == clear.encode(sample)
        assert [fast.vocab[i] for i in ids] == oracle.encode_to_tokens(sample, merges, special_tokens)
        assert fast.decode(ids) == sample
        assert list(fast.encode_iterable(sample)) == list(clear.encode_iterable([sample])) == ids
        assert fast.encode_array(sample.encode()).tolist() == ids
    joined, ends = fast.encode_end_to_end([text, "", other, text])
    assert joined.tolist() == clear.encode(text) + clear.encode(other) + clear.encode(text)
    assert ends.tolist() == [len(clear.encode(text))] * 2 + [
        len(clear.encode(text)) + len(clear.encode(other)),
        len(joined),
    ]


@pytest.mark.parametrize("length", [15, 16, 17, 127, 128, 129, 255, 256, 257, 1000])
def test_words_of_every_size_class_are_merged_alike(length):
    # The lengths at which the kernels change their ways: one key, cached by hash, merged through a heap, not cached.
    rng = random.Random(length)
    words = ["".join(rng.choices("aab", k=length)) for _ in range(20)]
    merges = oracle.train(" ".join(words[:3]), 60, [])
    clear, fast = (module.Tokenizer(byte_vocab(merges), merges) for module in (bpe, bpe_fast))
    for word in [*words, *words]:
        assert fast.encode(word) == clear.encode(word)


def test_ids_beyond_two_bytes_are_the_same():
    merges = oracle.train("low lower newest widest " * 3, 40, [])
    small = bpe_fast.Tokenizer(byte_vocab(merges), merges)
    moved = {i + 70_000: token for i, token in small.vocab.items()}
    large = bpe_fast.Tokenizer(moved, merges, [END])
    assert (small.dtype, large.dtype) == ("uint16", "uint32")
    text = "newest lowest 123456789012345 widenewest" + "x" * 300
    assert [i - 70_000 for i in large.encode(text)] == small.encode(text)
    assert large.encode(END + "w") == [70_000 + len(small.vocab), 70_000 + ord("w")]


def test_an_array_given_for_the_ids_is_used():
    tokenizer = bpe_fast.Tokenizer(byte_vocab([]), [], [END])
    text = f"abc é{END}"
    out = np.empty(tokenizer.room_for(text), dtype=tokenizer.dtype)
    ids = tokenizer.encode_array(text, out=out)
    assert ids.base is out
    assert ids.tolist() == tokenizer.encode(text) == [97, 98, 99, 32, 0xC3, 0xA9, 256]
    for wrong in (out[:5], out.astype(np.int32), np.empty((40, 2), out.dtype)):
        with pytest.raises(ValueError, match="wanted uint16"):
            tokenizer.encode_array(text, out=wrong)


@given(st.lists(st.sampled_from(["a", "<|e|>", "<|e", "|>", "é", " b", ""]), max_size=12))
def test_texts_of_a_batch_are_encoded_apart(texts):
    # "<|e" and "|>" in neighbouring texts are no special token.
    tokenizer = bpe_fast.Tokenizer(byte_vocab([]), [], ["<|e|>"])
    ids, ends = tokenizer.encode_end_to_end(texts)
    begins = [0, *ends.tolist()]
    for text, begin, end in zip(texts, begins, ends.tolist(), strict=False):
        assert ids[begin:end].tolist() == tokenizer.encode(text)


@pytest.mark.parametrize("special_tokens", [[], ["<|e|>"], ["a b"]])
def test_a_batch_of_thousands_has_the_ids_of_each_text(special_tokens):
    """Short texts go through the kernels together: empty ones, long ones between them, runs that fill a batch."""
    rng = random.Random(0)
    merges = oracle.train("low lower newest widest 한국 " * 3, 30, [])
    tokenizer = bpe_fast.Tokenizer(byte_vocab(merges), merges, special_tokens)
    texts = ["".join(rng.choices(MIXED, k=rng.choice([0, 1, 2, 8, 30]))) for _ in range(3000)]
    texts[1000:1000] = ["", "low " * 5000, "", "^" * 9000, "1 " * 3000 + " ", "  \n", "newest"]
    ids, ends = tokenizer.encode_end_to_end(texts)
    for text, begin, end in zip(texts, [0, *ends.tolist()], ends.tolist(), strict=False):
        assert ids[begin:end].tolist() == tokenizer.encode(text)


@given(st.text("ab|<", max_size=60), st.text("ab|<", min_size=1, max_size=5), st.data())
def test_a_special_token_is_found_by_its_rarest_character_where_find_finds_it(text, token, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe_fast, "_SAMPLE_BYTES", data.draw(st.sampled_from([0, 3, 40])))
        patch.setattr(bpe_fast, "_BYTES_PER_TRY", data.draw(st.sampled_from([1, 4, 30])))
        at = data.draw(st.integers(0, len(text)))
        assert bpe_fast.finder(text, token)(at) == text.find(token, at)
        assert bpe_fast.finder(text.encode(), token.encode())(at) == text.encode().find(token.encode(), at)


def test_the_text_of_a_batch_that_cannot_be_encoded_is_named():
    vocab = {i: bytes([byte]) for i, byte in enumerate(b"ab \n")}
    texts = [*["ab a\n"] * 3000, "", "b a cab", *["b"] * 3000]
    with pytest.raises(DataError, match=r"no token for the byte b'c' of b' cab'"):
        bpe_fast.Tokenizer(vocab, []).encode_end_to_end(texts)


def test_without_numba_the_clear_version_serves(tmp_path, monkeypatch):
    path, special = corpus(tmp_path, f"low lower newest{END} widest low 한국" * 4), [END]
    vocab, merges = bpe_fast.train_bpe(path, 290, special)
    fast = bpe_fast.Tokenizer(vocab, merges, special)
    monkeypatch.setattr(bpe_fast, "kernels", lambda: None)
    assert bpe_fast.train_bpe(path, 290, special) == (vocab, merges)
    plain = bpe_fast.Tokenizer(vocab, merges, special)
    text = f"lowest 한{END}국 newer"
    out = np.empty(plain.room_for(text), dtype=plain.dtype)
    assert plain.encode(text) == plain.encode_array(text, out=out).tolist() == fast.encode(text)
    for ours, theirs in zip(
        plain.encode_end_to_end([text, "low"]), fast.encode_end_to_end([text, "low"]), strict=True
    ):
        assert ours.tolist() == theirs.tolist()


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_decode_is_that_of_the_joined_bytes(parts):
    tokenizer = bpe_fast.Tokenizer({b: bytes([b]) for b in range(256)}, [])
    data = b"".join(parts)
    assert tokenizer.decode(list(data)) == data.decode("utf-8", errors="replace")


def test_ids_are_bytes_then_special_tokens_then_merges(tmp_path):
    vocab, merges = bpe_fast.train_bpe(corpus(tmp_path, "ab ab abc"), 260, ["<|b|>", "<|a|>"])
    assert [vocab[i] for i in range(256)] == [bytes([b]) for b in range(256)]
    assert (vocab[256], vocab[257]) == (b"<|b|>", b"<|a|>")
    assert [vocab[258], vocab[259]] == [left + right for left, right in merges]
    assert len(vocab) == 260


def test_workers_count_as_one_process_does(tmp_path, monkeypatch):
    rng = random.Random(0)
    text = "".join(rng.choices([*MIXED, " the", " a", END, "naïve "], k=6000))
    path = corpus(tmp_path, text)
    alone = bpe_fast.train_bpe(path, 400, [END], num_workers=1)
    monkeypatch.setattr(bpe_fast, "_CHUNK_BYTES", 1000)
    assert bpe_fast.train_bpe(path, 400, [END], num_workers=2) == alone
    assert alone[1] == oracle.train(text, 143, [END])


def test_more_words_than_the_cache_holds_pass_through_it_unchanged():
    # 2^18 rows and an arena of 8 MiB: half a million words replace each other, and fill the arena.
    rng = random.Random(0)
    merges = oracle.train("one two three four five one two three " * 3, 30, [])
    clear, fast = (module.Tokenizer(byte_vocab(merges), merges) for module in (bpe, bpe_fast))
    numbers = [f" {rng.getrandbits(40):x}" for _ in range(500_000)]
    text = "".join(numbers)
    first = fast.encode_array(text).copy()
    assert np.array_equal(fast.encode_array(text), first)
    assert b"".join(map(fast.vocab.__getitem__, first.tolist())) == text.encode()
    for number in numbers[:200]:
        assert fast.encode(number) == clear.encode(number)


def test_a_tokenizer_can_be_copied_and_sent():
    merges = oracle.train("low lower newest widest", 20, [])
    tokenizer = bpe_fast.Tokenizer(byte_vocab(merges), merges, [END])
    copied = copy.deepcopy(tokenizer)  # by way of what pickling does
    assert copied.encode(f"lowest{END}") == tokenizer.encode(f"lowest{END}")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    tokenizer = bpe_fast.Tokenizer(byte_vocab([]), [], [END])
    bad = [
        b"\xff",
        b"a\xc3",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"x" * 70 + b"\x80",
        b"\xe4\xb8" + b"a" * 80,
    ]
    for data in bad:
        with pytest.raises(DataError, match="not UTF-8"):
            tokenizer.encode_array(data)
        (tmp_path / "bad").write_bytes(b"some text before " + data)
        with pytest.raises(DataError, match=r"is not UTF-8: byte 0x.. at offset"):
            bpe_fast.train_bpe(tmp_path / "bad", 300, [])


@BOTH
def test_errors_say_what_to_do(module, tmp_path):
    with pytest.raises(ConfigError, match=r"vocab_size=256 .* need 257 ids .*vocab_size=257 or more"):
        module.train_bpe(corpus(tmp_path, "text"), 256, [END])
    with pytest.raises(DataError, match="is empty"):
        module.train_bpe(corpus(tmp_path, ""), 300, [END])
    with pytest.raises(DataError, match="cannot read"):
        module.train_bpe(tmp_path / "nowhere.txt", 300, [END])
    tokenizer = module.Tokenizer({0: b"a", 1: b"b", 2: b"ab"}, [(b"a", b"b")])
    assert tokenizer.encode("aba") == [2, 0]
    with pytest.raises(DataError, match=r"no token for the byte b'c'"):
        tokenizer.encode("abc")
    with pytest.raises(DataError, match="token id 7 "):
        tokenizer.decode([0, 7])
    with pytest.raises(ConfigError, match="trained together"):
        module.Tokenizer({0: b"a", 1: b"b"}, [(b"a", b"b")])


@BOTH
def test_files_in_both_forms_give_the_tokenizer_back(module, tmp_path):
    text = "it's # # ## a b\tc\n\n café 한국어 # #version #version"
    vocab, merges = bpe.train_bpe(corpus(tmp_path, text), 300, [END, "<|a mark|>"])
    spelled = {i: bytes_to_text(token) for i, token in vocab.items()}
    (tmp_path / "list.json").write_text(json.dumps([spelled[i] for i in range(len(spelled))]))
    (tmp_path / "dict.json").write_text(json.dumps({token: i for i, token in spelled.items()}))
    lines = [f"{bytes_to_text(left)} {bytes_to_text(right)}" for left, right in merges]
    (tmp_path / "plain.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (tmp_path / "headed.txt").write_text("\n".join(["#version: 0.2", *lines]), encoding="utf-8")
    for vocab_file, merges_file in [("list.json", "plain.txt"), ("dict.json", "headed.txt")]:
        tokenizer = module.Tokenizer.from_files(tmp_path / vocab_file, tmp_path / merges_file, [END])
        assert (tokenizer.vocab, tokenizer.merges) == (vocab, merges)
        assert tokenizer.decode(tokenizer.encode(text + END)) == text + END
    (tmp_path / "bad.txt").write_text("a b c\n")
    with pytest.raises(DataError, match=r"line 1 .* 3 parts"):
        module.Tokenizer.from_files(tmp_path / "list.json", tmp_path / "bad.txt")
    with pytest.raises(DataError, match="not JSON"):
        module.Tokenizer.from_files(tmp_path / "plain.txt", tmp_path / "plain.txt")


@BOTH
def test_gpt2(module):
    if not os.environ.get("LM_TEST_DATA"):
        pytest.skip("not checked: LM_TEST_DATA is unset")
    folder = Path(os.environ["LM_TEST_DATA"]) / "gpt2"
    tokenizer = module.Tokenizer.from_files(folder / "encoder.json", folder / "vocab.bpe", [END])
    assert len(tokenizer.vocab) == 50257
    assert tokenizer.encode("Hello, world!") == [15496, 11, 995, 0]
    fox = "The quick brown fox jumps over the lazy dog"
    assert tokenizer.encode(fox) == [464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290]
    assert tokenizer.encode(f"{END}a") == [50256, 64]
    # White space across chunks, as the public assignment's known hole has it.
    assert list(tokenizer.encode_iterable(["a\n", "\n", "\n", "b"])) == [64, 628, 198, 65]
    assert tokenizer.decode([50256, 447, 247]) == END + "\u2019"


def test_gpt2_agrees_with_hugging_face():
    if not os.environ.get("LM_TEST_DATA"):
        pytest.skip("not checked: LM_TEST_DATA is unset")
    tokenizers = pytest.importorskip("tokenizers", reason="not checked: the hf extra is not installed")
    folder = Path(os.environ["LM_TEST_DATA"]) / "gpt2"
    files = folder / "encoder.json", folder / "vocab.bpe"
    theirs = tokenizers.ByteLevelBPETokenizer(*map(str, files))
    ours = bpe_fast.Tokenizer.from_files(*files)
    rng = random.Random(0)
    # Assigned in every Unicode version in use: the two libraries carry tables of different years.
    points = [
        *range(0x20, 0x250),
        *range(0x370, 0x590),
        *range(0x3041, 0x3097),
        *range(0xAC00, 0xAE00),
        10,
        13,
        9,
    ]
    for _ in range(200):
        text = "".join(
            chr(rng.choice(points)) if rng.random() < 0.5 else rng.choice(MIXED) for _ in range(60)
        )
        assert ours.encode(text) == theirs.encode(text).ids, repr(text)


def seconds(work) -> float:
    """The least processor time of three tries."""
    tries = []
    for _ in range(3):
        start = time.process_time()
        work()
        tries.append(time.process_time() - start)
    return min(tries)


@pytest.mark.parametrize("kind", ["one letter", "signs", "random letters", "spaces"])
def test_encoding_a_run_is_nearly_linear(kind):
    rng = random.Random(0)
    size = 250_000
    run = {
        "one letter": "a" * size,
        "signs": "^" * size,
        "random letters": "".join(rng.choices("abcd", k=size)),
        "spaces": " " * size,
    }[kind]
    merges = oracle.train("aaaaaaaaaaaaaaaa ^^^^^^^^^^^^^^^^                 x " + run[:300], 60, [])
    tokenizer = bpe_fast.Tokenizer(byte_vocab(merges), merges)
    # Four times the work at n log n, sixteen times it when quadratic: eight lies a factor two from both.
    once, four = (
        seconds(lambda: tokenizer.encode_array(run)),
        seconds(lambda: tokenizer.encode_array(run * 4)),
    )
    assert four < 8 * once, f"{kind}: {size} characters took {once:.3f} s, four times as many {four:.3f} s"


def test_training_on_one_long_word_is_nearly_linear(tmp_path):
    rng = random.Random(0)
    word = "".join(rng.choices("abcdefgh", k=20_000))
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_text(word)
    large.write_text(word + "".join(rng.choices("abcdefgh", k=60_000)))
    once, four = (
        seconds(lambda path=path: bpe_fast.train_bpe(path, 400, [], num_workers=1)) for path in (small, large)
    )
    assert four < 8 * once, f"20,000 characters took {once:.3f} s, 80,000 took {four:.3f} s"


@pytest.mark.skipif(bpe_fast.kernels() is None, reason="not checked: numba is not installed")
def test_compiling_is_announced_once_and_only_when_it_happens(capsys):
    from numba.core import event

    with bpe_fast._announced():  # what was compiled before is loaded without a word
        pass
    assert capsys.readouterr().err == ""
    with bpe_fast._announced():
        for _ in range(2):
            with event.trigger_event("numba:compile", data={}):
                pass
    assert capsys.readouterr().err.count("compiling") == 1
