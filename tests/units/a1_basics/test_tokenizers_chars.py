"""Characters and bytes: every text comes back, streams agree with the whole, what was not seen is named."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_basics.tokenizers import chars
from shared.errors import ConfigError, DataError

END = "<|endoftext|>"
PIECES = ["a", "é", "한", "\n", " ", "😀", "\r\n", END, "<|end", "|>", "\ufeff"]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("".join)


def trained(path, text):
    path.write_bytes(text.encode())
    return chars.CharTokenizer(chars.train_chars(path, [END]), [END])


def byte_tokenizer():
    vocab = {byte: bytes([byte]) for byte in range(256)} | {256: END.encode()}
    return chars.ByteTokenizer(vocab, [END])


def cut(text, places):
    return [text[a:b] for a, b in itertools.pairwise([0, *sorted(places), len(text)])]


@given(texts, st.data())
def test_text_comes_back_and_streams_agree(tmp_path_factory, text, data):
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    for tokenizer in (trained(tmp_path_factory.mktemp("c") / "t", text), byte_tokenizer()):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert [*tokenizer.encode_iterable(cut(text, places))] == ids


@given(texts)
def test_one_id_for_each_character_and_each_byte(tmp_path_factory, text):
    plain = text.replace(END, "")
    tokenizer = trained(tmp_path_factory.mktemp("c") / "t", text)
    assert len(tokenizer.encode(text)) == len(plain) + text.count(END)
    assert len(byte_tokenizer().encode(text)) == len(plain.encode()) + text.count(END)


def test_ids_follow_the_code_points_and_special_tokens_come_last(tmp_path):
    (tmp_path / "t").write_text(f"cab{END}é")
    vocab = chars.train_chars(tmp_path / "t", [END])
    assert [vocab[index].decode() for index in range(len(vocab))] == ["a", "b", "c", "é", END]


def test_chunks_of_a_file_change_nothing(tmp_path, monkeypatch):
    (tmp_path / "t").write_text(f"one two {END} 한 three" * 3, encoding="utf-8")
    whole = chars.train_chars(tmp_path / "t", [END])
    monkeypatch.setattr(chars, "_CHUNK_BYTES", 7)
    assert chars.train_chars(tmp_path / "t", [END]) == whole


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unseen_character_is_named_with_its_place(tmp_path, streamed):
    tokenizer = trained(tmp_path / "t", f"ab\n{END}")
    text = f"ab\nb{END}\nab漢a"
    wanted = r"'漢' \(U\+6F22\) at line 3, column 3 \(character 20 of the text\) is not among the 3 that"
    assert text.index("漢") == 20
    with pytest.raises(DataError, match=wanted):
        [*tokenizer.encode_iterable(text)] if streamed else tokenizer.encode(text)


def test_what_cannot_be_told_apart_or_decoded_is_refused(tmp_path):
    (tmp_path / "t").write_text("abc")
    with pytest.raises(ConfigError, match="of one character"):
        chars.train_chars(tmp_path / "t", ["a"])
    with pytest.raises(DataError, match="token id 9 is not in"):
        trained(tmp_path / "u", "ab").decode([9])
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match="is empty"):
        chars.train_chars(tmp_path / "empty", [])
