"""Make the page of a ladder: what each rung brings, as a figure, a table, the curves and a sample of every rung."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shared.report.markup import Html, tag, together
from shared.report.parts import figure, headline, short_count, table
from shared.report.plots import (
    FONT_POINTS,
    NARROW_INCHES,
    PALETTE,
    STYLE,
    WIDTH_INCHES,
    Curve,
    loss_curves,
    save,
)
from shared.report.publish import cost_slot, publish, write_page
from shared.runs.program import run_program
from shared.runs.progress import clock_text
from shared.runs.runlog import VALIDATION_LOSS, series
from shared.store.artifacts import Store
from shared.store.kinds import read_runs

INPUTS = {"ladder": "Runs"}
OUTPUTS = {"report": "Report"}

ROW_INCHES, FRAME_INCHES = 0.285, 0.75
NUM_MILESTONES = 3
Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class LadderPage:
    """Which ladder to show."""

    ladder: str = "ladder"  # name or digest of the Runs of a1_basics.run.ladder
    name: str = "ladder"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": LadderPage()}


def main(config: LadderPage) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    source = store.open(config.ladder, "Runs")
    title = source.name_hint or config.ladder
    config = dataclasses.replace(config, ladder=source.digest)

    def write(folder: Path) -> None:
        write_ladder(folder, title, *read_runs(source))

    publish(store, "shared.report.ladder", config, {"ladder": source.digest}, write, title=title)


def write_ladder(folder: Path, title: str, rows: Rows, curves: Curves) -> Path:
    """The page, its figures and the measured times, in a folder; returns the page."""
    first, last = rows[0], rows[-1]
    num_read = short_count(max(row["train_tokens"] for row in rows))
    lede = (
        f"From {first['validation_loss_nats']:.2f} nats per character ({first['run']}) to "
        f"{last['validation_loss_nats']:.2f} ({last['run']}). "
    )
    if len(rows) > 2:
        lede += f"Every rung is the one before it with one thing changed, and reads the same {num_read} characters."
    else:  # two ends of the ladder
        lede += f"What is trained reads {num_read} characters."
    return write_page(
        folder,
        f"{title}: from a bigram to a transformer",
        headline("Ladder of models", title, lede),
        ladder_section(rows, curves, folder / "figures"),
        costs={f"seconds-{index}": clock_text(row["seconds"]) for index, row in enumerate(rows)},
    )


def ladder_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """Figure, table, curves and samples: what another page may show as well."""
    words = "; ".join(f"{row['run']} {row['validation_loss_nats']:.2f}" for row in rows)
    wide, narrow = (
        draw_ladder(folder / f"ladder_{size}.png", rows, width)
        for size, width in (("wide", WIDTH_INCHES), ("narrow", NARROW_INCHES))
    )
    caption = "Loss on held-out text in nats per character; lower is better."
    return together(
        tag("h2", "What each rung brings"),
        figure(wide, words, caption, narrow=narrow),
        ladder_table(rows),
        curves_figure(rows, curves, folder),
        tag("h2", "What each rung writes"),
        tag("p", "Each goes on from the same held-out characters, set bold. Unedited.", class_="note"),
        tag("div", [sample_block(row) for row in rows], class_="samples in-rows"),
    )


def draw_ladder(path: Path, rows: Rows, width_inches: float) -> Path:
    """One line of text for each rung, its loss as a dot beside it, the fall from the rung before as a bar."""
    losses = [row["validation_loss_nats"] for row in rows]
    places = range(len(rows))
    low, high = min(losses), max(losses)
    margin = 0.12 * (high - low or 1.0)
    with mpl.rc_context({**STYLE, "axes.grid.axis": "x"}):
        drawing = Figure(figsize=(width_inches, FRAME_INCHES + ROW_INCHES * len(rows)), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.add_subplot()
        for place, (before, after) in enumerate(pairwise(losses), start=1):
            colour = PALETTE["series-0" if after <= before else "series-1"]
            axes.plot(
                [before, after], [place, place], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt"
            )
            axes.plot([before, before], [place - 1, place], color=PALETTE["muted"], linewidth=0.8)
        axes.scatter(losses, places, s=26, color=PALETTE["series-0"], zorder=3)
        for place, loss in zip(places, losses, strict=True):
            has_risen = place > 0 and loss > losses[place - 1]  # the bar then lies to the left
            axes.annotate(
                f"{loss:.3f}",
                (loss, place),
                xytext=(8 if has_risen else -8, 0),
                textcoords="offset points",
                ha="left" if has_risen else "right",
                va="center",
            )
        axes.set_yticks([*places], [row["run"] for row in rows], fontsize=FONT_POINTS, color=PALETTE["ink"])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(low - margin * (WIDTH_INCHES / width_inches) * 1.2, high + margin / 2)
        axes.set_xlabel("held-out loss, nats per character")
        return save(drawing, path)


def ladder_table(rows: Rows) -> Html:
    """Rung, what is new, parameters, time, loss and what the rung changed."""
    cells = []
    for index, row in enumerate(rows):
        change = row["validation_loss_nats"] - rows[index - 1]["validation_loss_nats"] if index else None
        cells.append(
            [
                together(tag("b", row["run"]), tag("br"), tag("small", row["new"])),
                f"{row['parameters']:,}",
                cost_slot(f"seconds-{index}"),
                f"{row['validation_loss_nats']:.3f}",
                "" if change is None else f"{change:+.3f}",
            ]
        )
    note = (
        "One seed each: a change of a few thousandths proves nothing. Some rungs aim at something else than the loss: "
        "dropout at models that would learn the text by heart, RMSNorm at less work, GQA at a smaller cache, QK-norm "
        "at training that does not break."
    )
    heads = ["rung and what is new", "parameters", "time", "nats", "change"]
    return together(table(heads, cells), tag("p", note, class_="note", style="margin-top:0.75rem"))


def curves_figure(rows: Rows, curves: Curves, folder: Path) -> Html | None:
    """Held-out loss along training: a curve for each rung that was trained, darker the higher it stands.

    Only the ends of the climb and the largest falls between are named; the table names all.
    """
    points = {name: series(records, VALIDATION_LOSS) for name, records in curves.items()}
    points = {name: found for name, found in points.items() if len(found[0]) > 1}
    if not points:
        return None
    named = milestones([row["run"] for row in rows if row["run"] in points], rows)
    drawn = [
        Curve(
            name if name in named else "",
            *found,
            colour=0,
            opacity=0.25 + 0.75 * (place + 1) / len(points),
        )
        for place, (name, found) in enumerate(points.items())
    ]
    path = loss_curves(folder / "curves.png", drawn, height_inches=4.6, y_label="held-out loss, nats")
    last = [*points][-1]
    whole = next(row["validation_loss_nats"] for row in rows if row["run"] == last)
    return figure(
        path,
        "held-out loss of every rung over its training",
        "The same along training, a line for each rung, darker the higher it stands. These are measured on the first "
        f"part of the held-out text, those above on all of it: {last} ends here at {points[last][1][-1]:.3f}, there at "
        f"{whole:.3f}.",
    )


def milestones(trained: Sequence[str], rows: Rows) -> set[str]:
    """The first and the last trained rung, and the three between that brought the largest falls."""
    losses = {row["run"]: row["validation_loss_nats"] for row in rows}
    falls = {after: losses[before] - losses[after] for before, after in pairwise(trained)}
    between = sorted(trained[1:-1], key=lambda name: falls[name], reverse=True)
    return {trained[0], trained[-1], *between[:NUM_MILESTONES]}


def sample_block(row: Mapping[str, Any]) -> Html:
    """What one rung writes."""
    return tag(
        "article",
        tag("h3", row["run"]),
        tag("blockquote", tag("span", row["prompt"], class_="prompt"), row["sample"]),
        tag("p", f"{row['validation_loss_nats']:.3f} nats · temperature {row['temperature']}"),
        class_="sample",
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
