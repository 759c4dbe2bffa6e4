"""What several pages show: a headline, figures with captions, tables, tokens and counts for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.report.markup import Child, Html, tag, together, trusted
from shared.report.plots import NARROW_INCHES, WIDTH_INCHES, inline_svg, loss_curves

NUM_TINTS = 5


def headline(kicker: str, title: str, lede: str, *more: Child) -> Html:
    """What kind of page this is, what it is about, and its finding in one sentence."""
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", title),
        tag("p", lede, class_="lede"),
        *more,
    )


def figure(wide: Path, words: str, caption: Child, *, narrow: Path | None = None) -> Html:
    """A drawn figure with its caption, and with another drawing for phones if there is one.

    `words` describe it to those who cannot see it.
    """
    shown = trusted(inline_svg(wide, words))
    if narrow is not None:
        shown = together(
            tag("div", shown, class_="wide"),
            tag("div", trusted(inline_svg(narrow, words)), class_="narrow"),
        )
    return tag("figure", shown, tag("figcaption", caption))


def curves_figure(path: Path, words: str, caption: str, **options: Any) -> Html:
    """Curves in two widths, with their caption; `options` go to `loss_curves`."""
    wide, narrow = (
        loss_curves(path.with_name(f"{path.name}_{size}.png"), width_inches=width, **options)
        for size, width in (("wide", WIDTH_INCHES), ("narrow", NARROW_INCHES))
    )
    return figure(wide, words, caption, narrow=narrow)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] = ()) -> Html:
    """A table whose first column names and whose other columns are numbers."""
    classes = [None, *(["number"] * (len(heads) - 1))]

    def row(cells: Sequence[str], kind: str, class_: str | None = None) -> Html:
        cells_ = [tag(kind, cell, class_=style) for cell, style in zip(cells, classes, strict=True)]
        return tag("tr", cells_, class_=class_)

    body = [row(cells, "td") for cells in rows] + ([row(total, "td", "total")] if total else [])
    head = tag("thead", row(heads, "th")) if any(heads) else None
    return tag("div", tag("table", head, tag("tbody", body)), class_="scroll")


def tokens_in_a_row(pieces: Sequence[bytes]) -> Html:
    """A text cut into tokens, each tinted so that its neighbours can be told from it."""
    tinted = [
        tag("span", visible(piece), class_=f"t{index % NUM_TINTS}") for index, piece in enumerate(pieces)
    ]
    return tag("p", tinted, class_="tokens")


def visible(token: bytes) -> Html:
    """A token as a reader can see it: spaces as dots, line ends as arrows, broken UTF-8 as escapes."""
    text = token.decode("utf-8", errors="backslashreplace")
    signs = {" ": tag("i", "·"), "\n": tag("i", "↵"), "\t": tag("i", "⇥")}
    return together([signs.get(character, character) for character in text])


def short_count(value: float) -> str:
    """A count in three digits.

    >>> [short_count(value) for value in (512, 983_000, 1_228_800, 17e6)]
    ['512', '983k', '1.23M', '17M']
    """
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.0f}"
