"""The pages of the store's browser: a list of everything, and one page for each artifact. From a store to
HTML, no server.

What artifacts hold is foreign text (samples, documents, names from another machine's export), so it passes `tag`.
"""

import json
from collections.abc import Sequence
from urllib.parse import quote

from shared.errors import ArtifactError
from shared.report.markup import Html, document, tag, together, trusted
from shared.store.artifacts import Artifact, Store
from shared.store.catalog import KINDS
from shared.store.disk import readable_bytes
from shared.store.lineage import lineage_svg
from shared.store.manifests import SHOWN_DIGITS


def artifact_path(artifact: Artifact) -> str:
    """Where the page of an artifact lies."""
    return f"/artifacts/{artifact.kind}/{artifact.digest}"


def file_path(artifact: Artifact, name: str) -> str:
    """Where one of its files lies."""
    return f"{artifact_path(artifact)}/files/{quote(name)}"


def artifact_row(artifact: Artifact) -> dict[str, object]:
    """What a list tells of an artifact, in plain values."""
    return {
        "kind": artifact.kind,
        "name": artifact.name_hint,
        "digest": artifact.digest,
        "num_bytes": artifact.num_bytes,
        "created": artifact.origin.get("created"),
        "cost_seconds": artifact.origin.get("cost_seconds"),
        "parents": artifact.parents,
    }


def home_page(store: Store) -> str:
    """Reports first, then everything, kind by kind, newest on top."""
    everything = [*reversed(store.list())]
    counted = f"{len(everything)} artifacts, {readable_bytes(sum(one.num_bytes for one in everything))}"
    return document(
        "What this workspace has made",
        tag(
            "header",
            tag("p", "Artifacts", class_="kicker"),
            tag("h1", "What this workspace has made"),
            tag(
                "p",
                f"{counted}. Each is immutable and named by the hash of its content and origin.",
                class_="lede",
            ),
        ),
        together(tag("h2", "Reports"), report_cards([one for one in everything if one.kind == "Report"])),
        together(tag("h2", "Everything"), artifact_table(everything)),
        tag("footer", "The same list for programs: ", tag("a", "/api/artifacts", href="/api/artifacts")),
    )


def report_cards(reports: Sequence[Artifact]) -> Html:
    """A card for each report, which opens its page."""
    if not reports:
        return tag("p", "None yet: ", tag("code", "make toy"), " makes the first one.", class_="note")
    cards = [
        tag(
            "div",
            tag("b", tag("a", label(report), href=file_path(report, "index.html"))),
            tag("p", f"{made(report)} · ", tag("a", "how it came to be", href=artifact_path(report))),
            class_="card",
            style="margin-top:1rem",
        )
        for report in reports
    ]
    return tag("div", cards, class_="columns")


def artifact_table(artifacts: Sequence[Artifact]) -> Html:
    """All artifacts, those of a kind together, the kind said once."""
    heads = [
        *((text, None) for text in ("kind", "name", "digest", "made (UTC)")),
        ("size", "number"),
        ("cost", "number"),
    ]
    rows = []
    for kind in KINDS:
        for place, one in enumerate(one for one in artifacts if one.kind == kind):
            cells = [
                tag("td", kind if place == 0 else None),
                tag("td", tag("a", label(one), href=artifact_path(one))),
                tag("td", tag("code", one.digest[:SHOWN_DIGITS])),
                tag("td", made(one)),
                tag("td", readable_bytes(one.num_bytes), class_="number"),
                tag("td", cost(one), class_="number"),
            ]
            rows.append(tag("tr", cells))
    head = tag("thead", tag("tr", [tag("th", text, class_=style) for text, style in heads]))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="scroll")


def artifact_page(store: Store, artifact: Artifact) -> str:
    """Files, settings and lineage of one artifact."""
    files = [
        tag(
            "tr",
            tag("td", tag("a", name, href=file_path(artifact, name))),
            tag("td", tag("code", entry["sha256"][:SHOWN_DIGITS])),
            tag("td", readable_bytes(entry["bytes"]), class_="number"),
        )
        for name, entry in sorted(artifact.files.items())
    ]
    head = tag("tr", tag("th", "file"), tag("th", "SHA-256"), tag("th", "size", class_="number"))
    settings = json.dumps(artifact.config, indent=2, ensure_ascii=False)
    facts = f"{readable_bytes(artifact.num_bytes)}, made {made(artifact)}" + (
        f" in {cost(artifact)}" if cost(artifact) else ""
    )
    return document(
        f"{artifact.kind} {label(artifact)}",
        tag(
            "header",
            tag("p", tag("a", "Artifacts", href="/"), f" / {artifact.kind}", class_="kicker"),
            tag("h1", label(artifact)),
            tag("p", f"{facts}.", class_="lede"),
            tag("p", tag("code", artifact.digest), class_="note", style="overflow-wrap:anywhere"),
        ),
        together(
            tag("h2", "Files"),
            tag("div", tag("table", tag("thead", head), tag("tbody", files)), class_="scroll"),
        ),
        together(tag("h2", "Where it comes from"), lineage_section(store, artifact)),
        together(tag("h2", "Settings"), tag("pre", tag("code", settings))),
    )


def lineage_section(store: Store, artifact: Artifact) -> Html:
    """Its ancestors as a picture, and as links."""
    try:
        ancestors = store.lineage(artifact)
    except ArtifactError:
        missing = "One of its ancestors is gone from this store, or damaged."
        return tag("p", missing, class_="note")
    if not ancestors:
        return tag("p", "Made from nothing else in the store.", class_="note")
    links = [tag("li", tag("a", f"{one.kind} {label(one)}", href=artifact_path(one))) for one in ancestors]
    picture = tag("figure", trusted(lineage_svg(artifact, ancestors)))
    return together(picture, tag("ul", links, class_="chips", style="margin-top:1rem"))


def label(artifact: Artifact) -> str:
    """Its name, else the beginning of its digest."""
    return artifact.name_hint or artifact.digest[:SHOWN_DIGITS]


def made(artifact: Artifact) -> str:
    """When, to the minute."""
    return str(artifact.origin.get("created", "at an unknown time"))[:16].replace("T", " ")


def cost(artifact: Artifact) -> str:
    """Seconds it took, where that was measured."""
    seconds = artifact.origin.get("cost_seconds")
    return "" if seconds is None else f"{seconds:.1f} s"
