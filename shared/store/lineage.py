"""Where an artifact comes from, as a tree in text and as a picture (SVG, drawn by hand: no library, sharp at
any size).

The picture is a layered drawing: time runs from left to right, every artifact stands one column after the
last of its parents, and an edge that skips a column gets a lane of its own there, so that no line runs behind
a box.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from shared.store.artifacts import Artifact
from shared.store.catalog import KINDS
from shared.store.disk import readable_bytes
from shared.store.manifests import SHOWN_DIGITS

_BOX_WIDTH, _BOX_HEIGHT, _LANE_HEIGHT = 216, 92, 18
_COLUMN_GAP, _ROW_GAP, _MARGIN, _HEADER = 104, 30, 32, 58
_COLORS = ("#2563a8", "#b4541a", "#2e7d4f", "#8a3b8f", "#a07500", "#107a86", "#b03060", "#555c66")
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_MONO = "ui-monospace, 'SF Mono', 'DejaVu Sans Mono', monospace"


def lineage_tree(artifact: Artifact, ancestors: Sequence[Artifact]) -> str:
    """The lineage as text, the artifact first; what was shown before is not unfolded again."""
    by_digest = {one.digest: one for one in ancestors}
    shown: set[str] = set()

    def branches(one: Artifact, indent: str) -> list[tuple[str, str, str, bool]]:
        rows = [(indent, role, digest, False) for role, digest in sorted(one.parents.items())]
        return [*rows[:-1], (*rows[-1][:3], True)][::-1] if rows else []

    lines = [f"{artifact}, {readable_bytes(artifact.num_bytes)}"]
    waiting = branches(artifact, "")  # the next one last: a lineage may be deeper than calls can nest
    while waiting:
        indent, role, digest, is_last = waiting.pop()
        parent = by_digest[digest]
        again = " (see above)" if digest in shown and parent.parents else ""
        size = readable_bytes(parent.num_bytes)
        lines.append(f"{indent}{'└─' if is_last else '├─'} {role}: {parent}, {size}{again}")
        if not again:
            shown.add(digest)
            waiting += branches(parent, indent + ("   " if is_last else "│  "))
    return "\n".join(lines)


@dataclass
class _Node:
    """A box, or the lane of an edge that passes a column."""

    artifact: Artifact | None
    column: int
    before: "list[_Node]" = field(default_factory=list)
    after: "list[_Node]" = field(default_factory=list)
    y: float = 0.0  # of its middle

    @property
    def height(self) -> int:
        return _BOX_HEIGHT if self.artifact else _LANE_HEIGHT

    @property
    def x(self) -> int:
        return _MARGIN + self.column * (_BOX_WIDTH + _COLUMN_GAP)


@dataclass
class _Edge:
    role: str
    stops: list[_Node]  # parent, lanes, child


def lineage_svg(artifact: Artifact, ancestors: Sequence[Artifact]) -> str:
    """The lineage as an SVG document."""
    everyone = [*reversed(ancestors), artifact]
    nodes = _boxes(everyone)
    edges = [
        _edge(role, nodes[digest], nodes[one.digest])
        for one in everyone
        for role, digest in sorted(one.parents.items())
    ]
    columns = _columns(nodes, edges)
    height = _place(columns)
    width = 2 * _MARGIN + len(columns) * (_BOX_WIDTH + _COLUMN_GAP) - _COLUMN_GAP
    title = f"Lineage of {artifact.kind} {artifact.name_hint or artifact.digest[:SHOWN_DIGITS]}"
    subtitle = f"{len(everyone)} artifacts, {readable_bytes(sum(one.num_bytes for one in everyone))}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" font-family="{_FONT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height:.0f}" fill="#fbfbf9"/>',
        f'<text x="{_MARGIN}" y="34" font-size="17" font-weight="600" fill="#1c1f23">{escape(title)}</text>',
        f'<text x="{_MARGIN}" y="53" font-size="12" fill="#6b7280">{subtitle}</text>',
        *(_edge_line(edge) for edge in edges),
        *(_edge_label(edge) for edge in edges),
        *(_box(node, is_last=node.artifact is artifact) for node in nodes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _boxes(everyone: Sequence[Artifact]) -> dict[str, _Node]:
    by_digest = {one.digest: one for one in everyone}
    columns: dict[str, int] = {}
    waiting = [*by_digest]
    while waiting:  # parents first; digests cannot form a circle
        parents = by_digest[waiting[-1]].parents.values()
        unknown = [parent for parent in parents if parent not in columns]
        if unknown:
            waiting += unknown
        else:
            columns[waiting.pop()] = 1 + max((columns[parent] for parent in parents), default=-1)
    return {digest: _Node(one, columns[digest]) for digest, one in by_digest.items()}


def _edge(role: str, parent: _Node, child: _Node) -> _Edge:
    lanes = [_Node(None, column) for column in range(parent.column + 1, child.column)]
    stops = [parent, *lanes, child]
    for left, right in itertools.pairwise(stops):
        left.after.append(right)
        right.before.append(left)
    return _Edge(role, stops)


def _columns(nodes: dict[str, _Node], edges: list[_Edge]) -> list[list[_Node]]:
    columns: list[list[_Node]] = [[] for _ in range(1 + max(node.column for node in nodes.values()))]
    for node in [*nodes.values(), *(lane for edge in edges for lane in edge.stops[1:-1])]:
        columns[node.column].append(node)
    return columns


def _place(columns: list[list[_Node]]) -> float:
    """Order each column by the middle of its neighbours (a few sweeps suffice) and space it; the height."""
    tallest = max(_extent(column) for column in columns)
    for sweep in range(8):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            for node in column:
                near = node.before if forward else node.after
                if near:
                    node.y = sum(other.y for other in near) / len(near)
            column.sort(key=lambda node: node.y)
            y = _HEADER + _MARGIN / 2 + (tallest - _extent(column)) / 2
            for node in column:
                node.y = y + node.height / 2
                y += node.height + _ROW_GAP
    return _HEADER + _MARGIN * 1.5 + tallest


def _extent(column: list[_Node]) -> float:
    return sum(node.height for node in column) + _ROW_GAP * (len(column) - 1)


def _edge_points(edge: _Edge) -> list[tuple[float, float]]:
    """Where the line stops: it leaves and enters boxes spread over their sides, and crosses lanes straight."""
    points: list[tuple[float, float]] = []
    for left, right in itertools.pairwise(edge.stops):
        start = (left.x + _BOX_WIDTH, left.y + _spread(left, left.after, right))
        end = (float(right.x), right.y + _spread(right, right.before, left))
        points += [start, end]
    return points


def _spread(node: _Node, neighbours: list[_Node], other: _Node) -> float:
    if node.artifact is None or len(neighbours) == 1:
        return 0.0
    order = sorted(neighbours, key=lambda one: one.y).index(other)
    return (order - (len(neighbours) - 1) / 2) * min(24.0, (_BOX_HEIGHT - 30) / (len(neighbours) - 1))


def _edge_line(edge: _Edge) -> str:
    points = _edge_points(edge)
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for number, (x, y) in enumerate(points[1:], 1):
        before_x, before_y = points[number - 1]
        middle = (before_x + x) / 2
        if number % 2:
            path += f" C{middle:.1f},{before_y:.1f} {middle:.1f},{y:.1f} {x:.1f},{y:.1f}"
        else:
            path += f" L{x:.1f},{y:.1f}"
    (x, y), color = points[-1], _color(edge.stops[0].artifact)
    head = f"M{x - 8:.1f},{y - 4:.1f} L{x:.1f},{y:.1f} L{x - 8:.1f},{y + 4:.1f} Z"
    return (
        f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6" stroke-opacity="0.7"/>'
        f'<path d="{head}" fill="{color}"/>'
    )


def _edge_label(edge: _Edge) -> str:
    """The role, on the line's last stretch; nothing where it only repeats the parent's kind."""
    parent = edge.stops[0].artifact
    if parent is not None and edge.role == parent.kind.lower():
        return ""
    (start_x, start_y), (end_x, end_y) = _edge_points(edge)[-2:]
    x, y = (start_x + end_x) / 2, (start_y + end_y) / 2
    half = 3.2 * len(edge.role) + 6
    return (
        f'<rect x="{x - half:.1f}" y="{y - 9:.1f}" width="{2 * half:.1f}" height="18" rx="9" fill="#fbfbf9"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" font-size="11" fill="#4b5563" text-anchor="middle">'
        f"{escape(edge.role)}</text>"
    )


def _box(node: _Node, *, is_last: bool) -> str:
    one = node.artifact
    assert one is not None, "only artifacts have boxes"
    x, top, color = node.x, node.y - _BOX_HEIGHT / 2, _color(one)
    name = one.name_hint or "(no name)"
    shown = name if len(name) <= 24 else name[:23] + "…"
    facts = [readable_bytes(one.num_bytes)]
    if (one.origin.get("cost_seconds") or 0) >= 0.1:
        facts.append(_readable_seconds(one.origin["cost_seconds"]))
    facts.append(str(one.origin.get("created", ""))[:10])
    border = f'stroke="{color}" stroke-width="2"' if is_last else 'stroke="#d6d9de" stroke-width="1"'
    left = x + 18
    return (
        f"<g><title>{escape(f'{one.kind} {one.digest}')}</title>"
        f'<rect x="{x}" y="{top:.1f}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="#fff" {border}/>'
        f'<rect x="{x + 6}" y="{top + 9:.1f}" width="4" height="{_BOX_HEIGHT - 18}" rx="2" fill="{color}"/>'
        f'<text x="{left}" y="{top + 21:.1f}" font-size="10.5" font-weight="600" letter-spacing="0.8" '
        f'fill="{color}">{escape(_spaced(one.kind).upper())}</text>'
        f'<text x="{left}" y="{top + 42:.1f}" font-size="15" font-weight="600" '
        f'fill="{"#1c1f23" if one.name_hint else "#9aa1ab"}">{escape(shown)}</text>'
        f'<text x="{left}" y="{top + 60:.1f}" font-size="11" font-family="{_MONO}" fill="#6b7280">'
        f"{one.digest[:SHOWN_DIGITS]}</text>"
        f'<text x="{left}" y="{top + 79:.1f}" font-size="11" fill="#4b5563">{escape(" · ".join(facts))}</text></g>'
    )


def _color(artifact: Artifact | None) -> str:
    position = [*KINDS].index(artifact.kind) if artifact and artifact.kind in KINDS else -1
    return _COLORS[position % len(_COLORS)]


def _spaced(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind)


def _readable_seconds(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
