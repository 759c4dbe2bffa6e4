"""HTML that nobody can forget to escape: text becomes markup only through `tag`, which escapes plain `str`.

Model samples and documents are foreign text; a page that shows them must show them, not run them. Pages also carry a
content policy that lets them load nothing from elsewhere.
"""

import html
from collections.abc import Iterable
from pathlib import Path

STYLE_SHEET = Path(__file__).with_name("style.css")
VOID_TAGS = {"br", "hr", "img", "meta", "link"}


class Html(str):
    """Text that is markup already. Only `tag`, `together` and `trusted` make it."""


Child = str | Html | int | float | None | Iterable["Child"]


def escaped(child: Child) -> Html:
    """Markup for a child: nested lists joined, None left out, everything but `Html` escaped."""
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int | float):
        return Html(html.escape(str(child), quote=True))
    return Html("".join(escaped(each) for each in child))


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Html:
    """One element. `class_` is `class`, underscores become hyphens, attributes that are None are left out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"')
    if name in VOID_TAGS:
        return Html(f"<{' '.join(words)}>")
    return Html(f"<{' '.join(words)}>{escaped(children)}</{name}>")


def together(*children: Child) -> Html:
    """Several children as one."""
    return escaped(children)


def trusted(markup: str) -> Html:
    """Markup from our own code, such as a figure's SVG. Never for text that came from data or a model."""
    return Html(markup)


def document(title: str, *body: Child, script: str = "", script_file: str = "") -> str:
    """A whole page that needs nothing from elsewhere; `script_file` may lie beside it, or be missing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline' 'self' file:"
    head = together(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", trusted(STYLE_SHEET.read_text(encoding="utf-8"))),
    )
    scripts = together(
        tag("script", src=script_file) if script_file else None,
        tag("script", trusted(script)) if script else None,
    )
    page = tag("html", tag("head", head), tag("body", tag("main", *body), scripts), lang="en")
    return f"<!doctype html>\n{page}\n"
