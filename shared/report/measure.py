"""Make the page of the measurements: where time and memory of a step go, attention, this machine's roofline, sums."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.report.attention_tables import attention_section, compile_section
from shared.report.markup import Html, tag, together
from shared.report.parts import curves_figure, figure, headline, short_count, table
from shared.report.plots import NARROW_INCHES, WIDTH_INCHES, Curve
from shared.report.publish import publish, write_page
from shared.report.roofline import Point, draw_roofline
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.disk import readable_bytes
from shared.store.kinds import read_runs

INPUTS = {"table": "Runs", "attention": "Runs", "compiled": "Runs"}
OUTPUTS = {"report": "Report"}
PHASES = ("forward", "backward", "optimizer")
CATEGORIES = ("parameters", "gradients", "optimizer", "activations")
MIB = 2**20
Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class MeasurePage:
    """Which measurements to show."""

    runs: str = "measure-step"  # name or digest of the Runs of a2_systems.run.measure_step
    attention: str = ""  # of a2_systems.run.measure_attention; empty: left out
    compiled: str = ""  # of a2_systems.run.measure_compile; empty: left out
    name: str = "measure"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": MeasurePage()}


def main(config: MeasurePage) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    found = {
        role: store.open(name, "Runs")
        for role, name in (
            ("table", config.runs),
            ("attention", config.attention),
            ("compiled", config.compiled),
        )
        if name
    }
    digests = {role: artifact.digest for role, artifact in found.items()}
    read = dataclasses.replace(
        config,
        runs=digests["table"],
        attention=digests.get("attention", ""),
        compiled=digests.get("compiled", ""),
    )

    def write(folder: Path) -> Path:
        rows, curves = read_runs(found["table"])
        more = [
            section(read_runs(found[role])[0], folder / "figures")
            for role, section in (("attention", attention_section), ("compiled", compile_section))
            if role in found
        ]
        return write_measurements(folder, rows, curves, more)

    publish(store, "shared.report.measure", read, digests, write)


def write_measurements(folder: Path, rows: Rows, curves: Curves, more: Sequence[Html] = ()) -> Path:
    """The page and its figures, in a folder; returns the page."""
    lede = "Times as measured on this machine; bytes counted as tensors come and go, beside what the shape predicts."
    return write_page(
        folder,
        "A training step, measured",
        headline("Measurements", "Where a step goes", lede),
        *measured_sections(rows, curves, folder / "figures"),
        *more,
    )


def measured_sections(rows: Rows, curves: Curves, folder: Path) -> list[Html]:
    """Time, memory, operators, roofline and sums, their figures in a folder."""
    steps = [row for row in rows if "step_flops" in row]
    return [
        time_section(steps, folder),
        memory_section(steps, curves, folder),
        operators_section(rows),
        machine_section(rows, folder),
        sums_section(rows, folder),
    ]


def sizes(steps: Rows) -> list[str]:
    """The models by name, in order."""
    return list(dict.fromkeys(row["run"].rpartition(", ")[0] for row in steps))


def time_section(steps: Rows, folder: Path) -> Html:
    """Phases by size and length."""
    cells = [
        [
            row["run"],
            short_count(row["parameters"]),
            *(
                f"{1e3 * row[f'{phase}_seconds']:.1f} ± {1e3 * row[f'{phase}_std_seconds']:.1f}"
                for phase in PHASES
            ),
            f"{row['backward_seconds'] / row['forward_seconds']:.2f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['step_flops'] / row['step_seconds'] / 1e9:,.1f}",
        ]
        for row in steps
    ]
    lines = [
        Curve(
            size,
            [row["seq"] for row in steps if row["run"].startswith(f"{size}, ")],
            [1e3 * row["step_seconds"] for row in steps if row["run"].startswith(f"{size}, ")],
            has_points=True,
        )
        for size in sizes(steps)
    ]
    seconds = [row["step_seconds"] for row in steps]
    is_wide = max(seconds) > 20 * min(seconds)  # a smaller range has too few powers of ten to read
    heads = ("size, context", "parameters", *(f"{phase}, ms" for phase in PHASES), "backward / forward")
    caption = f"A whole step by length of the context, batch {steps[0]['batch_size']}."
    return together(
        tag("h2", "Time"),
        curves_figure(
            folder / "time",
            caption,
            caption,
            curves=lines,
            log_x=True,
            log_y=is_wide,
            x_label="tokens in a sequence",
            y_label="milliseconds a step",
        ),
        table((*heads, "tokens/s", "GFLOP/s"), cells),
    )


def memory_section(steps: Rows, curves: Curves, folder: Path) -> Html:
    """The largest step's timeline, and what was predicted beside what was found."""
    largest = max(steps, key=lambda row: row["peak_memory_bytes"])
    timeline = curves[largest["run"]]
    lines = []
    for phase in PHASES:
        events = [event for event in timeline if event["phase"] == phase]
        x = [event["event"] for event in events]
        lines.append(Curve(phase, x, [event["live_memory_bytes"] / MIB for event in events]))
    at_peak = ", ".join(
        f"{category} {readable_bytes(largest[f'at_peak_{category}_memory_bytes'])}" for category in CATEGORIES
    )
    caption = f"Live bytes of one step of {largest['run']}; at its peak: {at_peak}."
    heads = ("size, context", "state, predicted", "kept for backward, predicted", "counted", "peak")
    cells = [
        [
            row["run"],
            readable_bytes(sum(row[f"predicted_{category}_bytes"] for category in CATEGORIES[:3])),
            readable_bytes(row["predicted_activations_bytes"]),
            readable_bytes(row["kept_memory_bytes"]),
            readable_bytes(row["peak_memory_bytes"]),
        ]
        for row in steps
    ]
    note = (
        "Predictions are of float32. In float32 the count must agree to the byte; under autocast features are half as "
        "large, and casts of weights are kept besides."
    )
    return together(
        tag("h2", "Memory"),
        curves_figure(
            folder / "memory",
            caption,
            caption,
            curves=lines,
            x_label="allocations and releases",
            y_label="MiB",
        ),
        table(heads, cells),
        tag("p", note, class_="note"),
    )


def operators_section(rows: Rows) -> Html:
    """What the time of one step is made of."""
    found = [row for row in rows if row["run"].startswith("operator: ")]
    cells = [
        [row["run"].removeprefix("operator: "), f"{row['calls']:,}", f"{1e3 * row['own_seconds']:.2f}"]
        for row in found
    ]
    words = f"The operators with the most time of their own in one step of {found[0]['of']}." if found else ""
    return together(
        tag("h2", "Operators"),
        tag("p", words, class_="note"),
        table(("operator", "calls", "own time, ms"), cells),
    )


def machine_section(rows: Rows, folder: Path) -> Html:
    """Single operations against what this machine reaches."""
    peaks = next(row for row in rows if row["run"] == "peaks")
    rate, speed = peaks["peak_flops_per_second"], peaks["peak_bytes_per_second"]
    points = []
    for row in rows:
        if row["run"].startswith("operation: "):
            least_seconds = max(row["flops"] / rate, row["num_bytes"] / speed)
            points.append(
                Point(
                    row["run"].removeprefix("operation: "),
                    row["flops"] / row["num_bytes"],
                    row["flops"] / row["operation_seconds"],
                    least_seconds / row["operation_seconds"],
                )
            )
    cells = [
        [
            each.name,
            f"{each.intensity:.2f}",
            "arithmetic" if each.intensity >= rate / speed else "memory",
            f"{each.flops_per_second / 1e9:,.1f}",
            f"{each.fraction:.0%}",
        ]
        for each in points
    ]
    words = (
        f"A matrix product reaches {rate / 1e9:,.0f} GFLOP/s here and a copy {speed / 1e9:,.1f} GB/s: what computes "
        f"less than {rate / speed:,.0f} FLOPs for each byte waits for memory. What stays in a cache beats the copy."
    )
    wide, narrow = (
        draw_roofline(folder / f"roofline_{size}.png", rate, speed, points, width_inches=width)
        for size, width in (("wide", WIDTH_INCHES), ("narrow", NARROW_INCHES))
    )
    heads = ("operation", "FLOPs a byte", "waits for", "GFLOP/s", "of what is possible")
    caption = "Single operations under the two roofs, memory's and arithmetic's."
    return together(
        tag("h2", "Roofline"),
        tag("p", words, class_="note"),
        figure(wide, words, caption, narrow=narrow),
        table(heads, cells),
    )


def sums_section(rows: Rows, folder: Path) -> Html:
    """The four loops, and errors by length."""
    loops = [
        [row["run"].removeprefix("loop: "), f"{row['sum']:.6f}"]
        for row in rows
        if row["run"].startswith("loop: ")
    ]
    lines = []
    for row in rows:
        if row["run"].startswith("errors: "):
            errors = row["error_fractions"]
            lengths = [2**power for power in range(len(errors))]
            lines.append(Curve(row["run"].removeprefix("errors: "), lengths, errors, has_points=True))
    caption = "Relative error of a sum of numbers between 0 and 1, added one after the other in each format."
    return together(
        tag("h2", "What sums lose"),
        table(("a thousand hundredths", "sum"), loops),
        curves_figure(
            folder / "sums",
            caption,
            caption,
            curves=lines,
            log_x=True,
            log_y=True,
            x_label="terms",
            y_label="relative error",
        ),
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
