"""The sections on attention by size, and on what torch.compile brings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.report.markup import Html, tag, together
from shared.report.parts import curves_figure, table
from shared.report.plots import Curve
from shared.store.disk import readable_bytes

MIB = 2**20
Rows = Sequence[Mapping[str, Any]]


def attention_section(rows: Rows, folder: Path) -> Html:
    """Time and bytes by length at the largest width, and all sizes as a table."""
    width = max(row["head_dim"] for row in rows)
    drawn = [row for row in rows if row["head_dim"] == width and "forward_seconds" in row]
    names = list(dict.fromkeys(row["attention"] for row in rows))
    figures = []
    if len({row["seq"] for row in drawn}) > 1:
        for file, label, value in (
            ("attention_time", "milliseconds, forward and backward", _milliseconds),
            ("attention_kept", "MiB kept for the backward pass", lambda row: row["kept_memory_bytes"] / MIB),
        ):
            lines = [
                Curve(
                    name,
                    [row["seq"] for row in drawn if row["attention"] == name],
                    [value(row) for row in drawn if row["attention"] == name],
                    has_points=True,
                )
                for name in names
            ]
            caption = f"Heads of width {width}: {label}, by length."
            figures.append(
                curves_figure(
                    folder / file,
                    caption,
                    caption,
                    curves=lines,
                    log_x=True,
                    log_y=True,
                    x_label="positions",
                    y_label=label,
                )
            )
    cells = [
        [
            f"{row['attention']}{_backend(row)}, {row['head_dim']} x {row['seq']:,}",
            *_times(row, ("forward", "backward")),
            readable_bytes(row["kept_memory_bytes"]) if "kept_memory_bytes" in row else "",
            readable_bytes(row["predicted_kept_bytes"]),
        ]
        for row in rows
    ]
    kernels = sorted({row["backend"] for row in rows if row.get("backend")})
    words = (
        "Written out, a matrix of weights is kept: four times as much at twice the length. By tiles, and in torch's "
        f"own kernel{' (' + ', '.join(kernels) + ')' if kernels else ''}, what is kept grows with the length. The "
        "prediction is exact but for what a GPU's kernel notes of its random numbers."
    )
    heads = ("attention, width x length", "forward, ms", "backward, ms", "kept", "predicted")
    return together(tag("h2", "Attention"), tag("p", words, class_="note"), figures, table(heads, cells))


def compile_section(rows: Rows, folder: Path) -> Html:
    """What was compiled beside what was not; a table, no figure."""
    phases = ("forward", "backward", "optimizer")
    cells = [
        [
            row["run"],
            *_times(row, phases),
            f"{row['compiling_seconds']:.1f}" if "compiling_seconds" in row else "",
        ]
        for row in rows
    ]
    words = (
        "A compiler writes one kernel where torch starts several. Compiling happens once, at the first call."
    )
    heads = ("work", *(f"{phase}, ms" for phase in phases), "compiling, s")
    return together(tag("h2", "torch.compile"), tag("p", words, class_="note"), table(heads, cells))


def _milliseconds(row: Mapping[str, Any]) -> float:
    return 1e3 * (row["forward_seconds"] + row["backward_seconds"])


def _backend(row: Mapping[str, Any]) -> str:
    return f" ({row['backend']})" if row.get("backend") else ""


def _times(row: Mapping[str, Any], phases: Sequence[str]) -> list[str]:
    """Milliseconds of each phase; of what did not run, its outcome in the place of the first."""
    if "forward_seconds" not in row:
        return [row["outcome"], *([""] * (len(phases) - 1))]
    return [f"{1e3 * row[f'{phase}_seconds']:.2f}" if f"{phase}_seconds" in row else "" for phase in phases]
