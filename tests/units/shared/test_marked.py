"""Generated blocks in documents: what lies outside the marks never changes, and a missing mark is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.marked import replace_block, with_block

BEGIN, END = "<!-- t: begin -->", "<!-- t: end -->"
by_hand = st.text("ab <!-\n é|", max_size=20)


@given(by_hand, by_hand, by_hand, by_hand)
def test_only_the_block_changes_and_writing_it_again_changes_nothing(before, old, new, after):
    text = f"{before}{BEGIN}{old}{END}{after}"
    written = with_block(text, BEGIN, END, new, document="page")
    assert written == f"{before}{BEGIN}\n{new}\n{END}{after}"
    assert with_block(written, BEGIN, END, new, document="page") == written


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("words", "lacks the mark '<!-- t: begin -->'"),
        (f"{BEGIN} old", "lacks the mark '<!-- t: end -->' after"),
        (f"old {END}", "lacks the mark '<!-- t: begin -->'"),
        (f"{END} old {BEGIN}", "lacks the mark '<!-- t: end -->' after"),
    ],
)
def test_a_missing_mark_is_named_and_the_document_stays(tmp_path, text, lacks):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"page.md {lacks}"):
        replace_block(page, BEGIN, END, "new")
    assert page.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_a_missing_document_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no document .*page\.md"):
        replace_block(tmp_path / "page.md", BEGIN, END, "new")


def test_a_document_is_rewritten_in_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"été\n{BEGIN}\nold\n{END}\nrest", encoding="utf-8")
    replace_block(page, BEGIN, END, "한국어")
    assert page.read_text(encoding="utf-8") == f"été\n{BEGIN}\n한국어\n{END}\nrest"
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
