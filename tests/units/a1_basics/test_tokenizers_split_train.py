"""Training on any pattern: GPT-2's gives what the clear trainer gives, and how the file is read changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_basics.tokenizers import bpe, split_train
from a1_basics.tokenizers.pretokenize import SpecialTokens
from a1_basics.tokenizers.split_bpe import plain_cut
from shared.errors import ConfigError, DataError
from shared.store.kinds import DOCUMENT_END
from shared.store.kinds.split_patterns import SPLIT_PATTERNS

# Letters with and without marks, digits, signs, blanks and line ends: what the three patterns treat differently.
texts = st.lists(st.sampled_from([*"aAé1'2_(.,\n\r\t ", "한", "  ", "don't", DOCUMENT_END]), max_size=60).map(
    "".join
)
patterns = st.sampled_from(sorted(SPLIT_PATTERNS))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("text") / "train.txt"


@given(text=texts.filter(bool))
def test_gpt2s_pattern_gives_what_the_clear_trainer_gives(file, text):
    file.write_text(text, encoding="utf-8", newline="")
    assert split_train.train_split_bpe(file, 280, [DOCUMENT_END], "gpt2") == bpe.train_bpe(
        file, 280, [DOCUMENT_END]
    )


@given(text=texts.filter(bool), pattern=patterns, block_chars=st.integers(1, 9))
def test_blocks_change_nothing(file, text, pattern, block_chars):
    file.write_text(text, encoding="utf-8", newline="")
    whole = [piece for piece, is_special in SpecialTokens([DOCUMENT_END]).split(text) if not is_special]
    words = split_train.count_words(whole, SPLIT_PATTERNS[pattern])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_train, "_BLOCK_CHARS", block_chars)
        patch.setattr("a1_basics.tokenizers.pretokenize._STREAM_BLOCK_CHARS", block_chars)
        _, merges = split_train.train_split_bpe(file, 300, [DOCUMENT_END], pattern)
    assert merges == split_train.learn_merges(words, 300 - 257)


@given(text=texts.map(lambda text: text.replace(DOCUMENT_END, "")), more=texts, pattern=patterns)
def test_a_plain_cut_parts_pre_tokens_whatever_follows(text, more, pattern):
    place = plain_cut(text)
    cut = split_train.count_words
    parts = cut([text[:place], text[place:] + more], SPLIT_PATTERNS[pattern])
    assert parts == cut([text + more], SPLIT_PATTERNS[pattern])


def test_what_cannot_be_trained_is_refused(file):
    file.write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        split_train.train_split_bpe(file, 280, [DOCUMENT_END], "qwen2")
    with pytest.raises(ConfigError, match="vocab_size=256 is too small"):
        split_train.train_split_bpe(file, 256, [DOCUMENT_END], "qwen2")
