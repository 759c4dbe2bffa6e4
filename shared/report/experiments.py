"""Make the page of the experiments: what each sweep showed, as figures with their reading, and the costs."""

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.report.attention_maps import attention_section
from shared.report.batch_sizes import batch_size_section, measured_costs
from shared.report.markup import Html, tag, together
from shared.report.parts import curves_figure, figure, headline, short_count, table
from shared.report.plots import NARROW_INCHES, Curve, loss_curves
from shared.report.publish import cost_slot, publish, write_page
from shared.runs.program import run_program
from shared.runs.progress import clock_text
from shared.runs.runlog import VALIDATION_LOSS, series
from shared.store.artifacts import Artifact, Store
from shared.store.disk import readable_bytes
from shared.store.kinds import read_eval_report, read_runs

INPUTS = {"runs": "Runs", "attention": "EvalReport"}
OUTPUTS = {"report": "Report"}

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]
Draw = Callable[..., Html]


@dataclass(frozen=True)
class ExperimentsPage:
    """Which sweeps to show, in this order."""

    # names or digests of the sweeps' Runs, in the order of the page
    runs: tuple[str, ...] = ("learning_rate", "batch_size", "ablations", "divergence", "scaling_audit")
    attention: str = ""  # name or digest of the EvalReport of a1_basics.run.attention_probe; empty: none
    name: str = "experiments"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": ExperimentsPage()}


def main(config: ExperimentsPage) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    sweeps = [store.open(name, "Runs") for name in config.runs]
    probed = store.open(config.attention, "EvalReport") if config.attention else None
    inputs = {experiment_of(sweep): sweep.digest for sweep in sweeps}
    inputs |= {"attention": probed.digest} if probed else {}
    config = dataclasses.replace(
        config,
        runs=tuple(sweep.digest for sweep in sweeps),
        attention=probed.digest if probed else "",
    )

    def write(folder: Path) -> None:
        write_experiments(folder, sweeps, read_eval_report(probed) if probed else None)

    publish(store, "shared.report.experiments", config, inputs, write)


def experiment_of(sweep: Artifact) -> str:
    """Which experiment made a table."""
    return str(sweep.manifest["config"].get("experiment", sweep.name_hint or sweep.digest[:12]))


def write_experiments(folder: Path, sweeps: Sequence[Artifact], attention: Mapping[str, Any] | None) -> Path:
    """The page, its figures and the measured times, in a folder; returns the page."""
    costs: dict[str, str] = {}
    sections = []
    for sweep in sweeps:
        name, (rows, curves) = experiment_of(sweep), read_runs(sweep)
        for index, row in enumerate(rows):
            costs[f"{name}-{index}-seconds"] = clock_text(row["seconds"])
            costs[f"{name}-{index}-tokens"] = f"{row['tokens_per_second']:,.0f}"
        if name == "batch_size":
            costs |= measured_costs(rows, curves)
        draw = SECTIONS.get(name, any_section)
        sections.append(together(draw(rows, curves, folder / "figures" / name), cost_table(name, rows)))
    if attention is not None:
        sections.append(attention_section(attention, folder / "figures"))
    lede = (
        "Every run of an experiment begins from the same weights and sees the same batches; only what the label "
        "says differs. Losses are nats per token on held-out text."
    )
    return write_page(
        folder,
        "Experiments on a small language model",
        headline("Experiments", "One thing changed at a time", lede),
        *sections,
        costs=costs,
    )


def later_curves(rows: Rows, curves: Curves, folder: Path, words: str) -> Html | None:
    """Held-out loss of every run once the steep part is over; None when no run has any."""
    lines = validation_curves(rows, curves)
    caption = "Held-out loss, after the first quarter of training."
    return curves_figure(folder / "curves", words, caption, curves=lines) if lines else None


def learning_rate_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """Loss against rate; where it diverges; and how far the best rate lies from that edge."""
    finished = [row for row in rows if row["status"] == "finished"]
    diverged = [row for row in rows if row["status"] == "diverged"]
    words = rates_reading(rows)
    if not finished:
        return together(tag("h2", "Learning rate"), tag("p", words, class_="note"))
    best = min(finished, key=lambda row: row["validation_loss_nats"])
    final = Curve(
        "after training",
        [row["max_learning_rate"] for row in finished],
        [row["validation_loss_nats"] for row in finished],
        has_points=True,
    )
    telling = [*rows[::2], best, *diverged[:1]]  # enough to see the order of things, few enough to tell apart
    shown = [row for row in rows if row in telling]
    return together(
        tag("h2", "Learning rate"),
        tag("p", words, class_="note"),
        curves_figure(
            folder / "by_rate",
            words,
            "Held-out loss at the end, by peak rate; runs that diverged have none.",
            curves=[final],
            log_x=True,
            x_label="peak learning rate",
        ),
        curves_figure(
            folder / "curves",
            words,
            "Training loss, on a logarithmic axis: divergent runs leave the range.",
            curves=training_curves(shown, curves),
            log_y=True,
        ),
    )


def rates_reading(rows: Rows) -> str:
    """What a sweep over rates shows, and no more than that."""
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        return "No run of the sweep came to its end: its lowest rate is too high, or something else is wrong."
    best = min(finished, key=lambda row: row["validation_loss_nats"])
    rate = best["max_learning_rate"]
    words = f"The best rate is {rate:g}, with {best['validation_loss_nats']:.3f} nats per token."
    lost = [row["max_learning_rate"] for row in rows if row["status"] == "diverged"]
    below = [lost_rate for lost_rate in lost if lost_rate < rate]
    if below:
        words += f" Runs at lower rates diverged ({listed(below)}): not the rate is to blame there."
    edge = min((lost_rate for lost_rate in lost if lost_rate > rate), default=None)
    if edge is None:
        return words + " No higher rate diverged: the edge lies beyond this sweep."
    words += f" Runs diverge from {edge:g} on, {edge / rate:,.0f} times that rate."
    stalled = [
        row["max_learning_rate"]
        for row in finished
        if rate < row["max_learning_rate"] < edge and nats_learned(row) < nats_learned(best) / 2
    ]
    if stalled:
        words += (
            f" Below that edge ({listed(stalled)}) a run does not blow up but learns less than half as much: clipping "
            "and Adam's division by its own second moment bound every step."
        )
    return words


def nats_learned(row: Mapping[str, Any]) -> float:
    """How far a run's held-out loss fell from that of its own fresh weights."""
    return row["untrained_loss_nats"] - row["validation_loss_nats"]


def listed(rates: Sequence[float]) -> str:
    """Rates in words."""
    return ", ".join(f"{rate:g}" for rate in rates)


def ablations_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """The model's curve among those of its variants."""
    base, *others = rows
    parts = [
        f"{row['run']} {row['validation_loss_nats'] - base['validation_loss_nats']:+.3f}"
        if row["status"] == "finished"
        else f"{row['run']} {row['status']}"
        for row in others
    ]
    words = f"The model ends at {base['validation_loss_nats']:.3f} nats per token. Against it: {'; '.join(parts)}."
    return together(
        tag("h2", "Ablations"),
        tag("p", words, class_="note"),
        later_curves(rows, curves, folder, words),
    )


def divergence_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """Each problem beside its cure."""
    pairs = []
    for broken, cured in zip(rows[::2], rows[1::2], strict=True):
        ends = ending(broken)
        caption = (
            f"{broken['problem'].capitalize()} (model {broken['model']}): {broken['verdict']}. As it was, it {ends}; "
            f"cured, it {ending(cured)}."
        )
        lines = [
            dataclasses.replace(curve, label=label, colour=colour)
            for curve, label, colour in zip(
                training_curves([broken, cured], curves), ("as it was", "cured"), (1, 0), strict=False
            )
        ]
        picture = loss_curves(
            folder / f"{broken['problem'].replace(' ', '_').replace(',', '')}.png",
            lines,
            width_inches=NARROW_INCHES,
            height_inches=2.9,
            log_y=any(max(curve.y, default=0.0) > 20 for curve in lines),
        )
        pairs.append(figure(picture, caption, caption))
    return together(
        tag("h2", "Four ways to lose a run"),
        tag("p", verdicts_reading(rows), class_="note"),
        [tag("div", pairs[start : start + 2], class_="pair") for start in range(0, len(pairs), 2)],
    )


def ending(row: Mapping[str, Any]) -> str:
    """How a run came to its end."""
    if row["status"] == "finished":
        return f"ends at {row['validation_loss_nats']:.3f} nats per token"
    return f"{row['status']}: {row['reason']}"


def verdicts_reading(rows: Rows) -> str:
    """What the pairs showed at this size; that a problem was provoked is a finding, not a promise."""
    told = "; ".join(f"{row['problem']}: {row['verdict']}" for row in rows[::2])
    return f"Each tried without its cure and with it; within a pair one thing differs. {told}. Training loss."


def scaling_audit_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """Three sizes: loss by parameters, bytes, and what each writes."""
    losses = " to ".join(f"{row['validation_loss_nats']:.3f}" for row in rows)
    words = (
        f"The same {short_count(rows[0]['train_tokens'])} tokens, blocks of "
        f"{', '.join(short_count(row['non_embedding_parameters']) for row in rows)} parameters: {losses} nats a token."
    )
    heads = ("model", "parameters", "in blocks", "weights", "training state", "activations", "held-out loss")
    cells = [
        [
            row["run"],
            f"{row['parameters']:,}",
            f"{row['non_embedding_parameters']:,}",
            *(readable_bytes(row[key]) for key in ("weight_bytes", "state_bytes", "activation_bytes")),
            f"{row['validation_loss_nats']:.3f}",
        ]
        for row in rows
    ]
    samples = [
        tag(
            "article",
            tag("blockquote", str(row["sample"]).strip()),
            tag("p", f"{row['run']} parameters"),
            class_="sample",
        )
        for row in rows
        if "sample" in row
    ]
    return together(
        tag("h2", "Scaling audit"),
        tag("p", words, class_="note"),
        later_curves(rows, curves, folder, words),
        table(heads, cells),
        tag("div", samples, class_="samples in-rows"),
    )


def any_section(rows: Rows, curves: Curves, folder: Path) -> Html:
    """A sweep that this page knows nothing of: its curves."""
    heading = tag("h2", folder.name.replace("_", " ").capitalize())
    return together(heading, later_curves(rows, curves, folder, folder.name))


SECTIONS: dict[str, Draw] = {
    "learning_rate": learning_rate_section,
    "batch_size": batch_size_section,
    "ablations": ablations_section,
    "divergence": divergence_section,
    "scaling_audit": scaling_audit_section,
}


def validation_curves(rows: Rows, curves: Curves) -> list[Curve]:
    """Held-out loss of every run that has some, by step; without the steep first quarter where there is a rest."""
    found = []
    for row in rows:
        steps, values = series(curves[row["run"]], VALIDATION_LOSS)
        skipped = len(steps) // 4
        if any(map(math.isfinite, values)):
            found.append(Curve(row["run"], steps[skipped:], values[skipped:], has_points=True))
    return found


def training_curves(rows: Rows, curves: Curves) -> list[Curve]:
    """Training loss of every run, by step."""
    found = [(row["run"], series(curves[row["run"]], "loss_nats")) for row in rows]
    return [Curve(name, steps, values) for name, (steps, values) in found if steps]


def cost_table(name: str, rows: Rows) -> Html:
    """What each run took; the measured columns are filled in from the file beside the page."""
    cells = [
        [
            row["run"],
            row["status"],
            f"{row['steps']:,}",
            short_count(row["train_tokens"]),
            "–" if math.isinf(row["validation_loss_nats"]) else f"{row['validation_loss_nats']:.3f}",
            cost_slot(f"{name}-{index}-seconds"),
            cost_slot(f"{name}-{index}-tokens"),
        ]
        for index, row in enumerate(rows)
    ]
    heads = ("run", "outcome", "steps", "tokens", "held-out loss", "time here", "tokens per second")
    return tag("details", tag("summary", "All runs, and what they took"), table(heads, cells))


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
