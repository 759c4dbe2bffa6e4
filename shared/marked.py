"""A generated block inside a document written by hand: what stands between two marks is written by a program."""

from pathlib import Path

from shared.errors import ConfigError
from shared.store.disk import replace_text


def with_block(text: str, begin: str, end: str, block: str, *, document: str | Path) -> str:
    r"""The text with `block` between its two marks, in place of what stood there; `document` names it in the error.

    >>> with_block("by hand\n<!-- t -->\nold\n<!-- /t -->\nby hand", "<!-- t -->", "<!-- /t -->", "new", document="")
    'by hand\n<!-- t -->\nnew\n<!-- /t -->\nby hand'

    Raises:
        ConfigError: a mark is missing, or the second stands before the first.
    """
    before, has_begin, rest = text.partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        lacking = f"{end!r} after {begin!r}" if has_begin else repr(begin)
        raise ConfigError(
            f"{document} lacks the mark {lacking}: put a line {begin} and a line {end} where the generated block "
            "belongs, then run this again"
        )
    return f"{before}{begin}\n{block}\n{end}{after}"


def replace_block(document: Path, begin: str, end: str, block: str) -> None:
    """Write `block` between the document's two marks; a reader sees the old document or the new one.

    Raises:
        ConfigError: there is no such document, or a mark is missing.
    """
    if not document.is_file():
        raise ConfigError(
            f"there is no document {document} to write into; name one that has {begin} and {end}"
        )
    replace_text(
        document, with_block(document.read_text(encoding="utf-8"), begin, end, block, document=document)
    )
