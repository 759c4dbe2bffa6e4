"""The sections of stage 2's page that are its own: trainings side by side, kernels, strategies, plans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.report.markup import Html, tag, together
from shared.report.parts import curves_figure, short_count, table
from shared.report.plots import Baseline, Curve
from shared.report.publish import cost_slot
from shared.store.artifacts import Artifact
from shared.store.disk import readable_bytes

CATEGORIES = ("parameters", "gradients", "optimizer", "activations")
LOSSES = ("loss_nats", "validation_loss_nats")
EQUAL_NATS = (
    1e-7  # drawn where losses are equal to the bit: two float32 losses above 1 differ by more, or not at all
)
Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]
Costs = dict[str, str]


def finding(rows: Rows) -> str:
    """What the comparison showed, in a sentence."""
    apart = max(row["largest_difference_nats"] for row in rows[1:])
    ways = " and ".join(row["strategy"] for row in rows[1:])
    return f"One rank and several ({ways}) trained the same model: no loss is further than {apart:.1e} nats apart."


def kernels_finding(rows: Rows) -> str:
    """How many cases are right."""
    checked = [row for row in rows if "errors" in row]
    right = sum(row["outcome"] == "right" for row in checked)
    return f"{right} of {len(checked)} cases of kernels are as close to float64 as they have to be."


def slot(costs: Costs, key: str, text: str) -> Html:
    """A cell for what was measured: empty on the page, filled in from beside it."""
    costs[key] = text
    return cost_slot(key)


def training_section(rows: Rows, curves: Curves, tolerance: float, folder: Path, costs: Costs) -> Html:
    """How far each run's losses are from the first one's, step by step, and its end."""
    first = rows[0]["run"]
    losses = {(each["step"], key): each[key] for each in curves[first] for key in LOSSES if key in each}
    lines = []
    for row in rows[1:]:
        apart = [
            (each["step"], max(EQUAL_NATS, abs(each["loss_nats"] - losses[each["step"], "loss_nats"])))
            for each in curves[row["run"]]
            if "loss_nats" in each and (each["step"], "loss_nats") in losses
        ]
        lines.append(Curve(row["strategy"], [x for x, _ in apart], [y for _, y in apart], has_points=True))
    cells = [
        [
            row["run"],
            row["strategy"],
            f"{row['validation_loss_nats']:.4f}",
            f"{row['largest_difference_nats']:.1e}",
            slot(costs, f"rate of {row['run']}", _rate(curves[row["run"]])),
            slot(costs, f"waiting of {row['run']}", _waiting(curves[row["run"]])),
        ]
        for row in rows
    ]
    words = (
        f"Each run read the same text, {rows[0]['losses_compared']} losses of each were compared, and a wrong gradient "
        f"shows by 0.1 nats. The order in which float32 numbers are added explains {tolerance:g}."
    )
    caption = f"Distance of the training loss from that of {first}."
    distance = curves_figure(
        folder / "distance",
        caption,
        caption,
        curves=lines,
        baselines=[Baseline("tolerated", tolerance), Baseline("equal", EQUAL_NATS)],
        log_y=True,
        y_label="nats, absolute",
    )
    heads = ("run", "strategy", "held-out nats", "apart at most", "tokens/s", "waiting")
    return together(
        tag("h2", "Two ranks = one rank"), tag("p", words, class_="note"), distance, table(heads, cells)
    )


def kernels_section(rows: Rows) -> Html:
    """Errors beside bounds: of the result, and of the gradient that comes nearest to its bound."""
    cells = []
    for row in rows:
        if "errors" not in row:
            cells.append([row["run"], row["outcome"], "", "", "", ""])
            continue
        found = [*zip(row["outputs"], row["errors"], row["bounds"], strict=True)]
        _, error, bound = found[0]
        name, of_gradient, gradient_bound = max(found[1:], key=lambda each: each[1] / each[2])
        cells.append(
            [
                row["run"],
                f"{error:.1e}",
                f"{bound:.1e}",
                f"{name} {of_gradient:.1e}",
                f"{gradient_bound:.1e}",
                row["outcome"],
            ]
        )
    words = (
        "Root-mean-square distance from the same computation in float64. The bound is twice the error of the plain "
        "version (for attention, of torch's SDPA) in the kernel's own format. Each kernel ran twice and gave the same "
        "bits."
    )
    heads = ("kernel: inputs", "result", "bound", "worst gradient", "bound", "")
    return together(
        tag("h2", "Kernels against the oracle"), tag("p", words, class_="note"), table(heads, cells)
    )


def strategies_section(rows: Rows, costs: Costs) -> Html:
    """Speed, waiting and memory of each strategy; bytes are of the rank that needs the most."""
    cells = []
    for row in rows:
        peaks = row["ranks_peak_memory_bytes"]
        most = peaks.index(max(peaks))
        sizes = [row[f"ranks_at_peak_{category}_memory_bytes"][most] for category in CATEGORIES]
        waits = (
            f"{row['exposed_seconds'] / row['step_seconds']:.0%}"
            if "exposed_seconds" in row
            else "not measured"
        )
        shown = [f"{row['tokens_per_second']:,.0f}", waits, *map(readable_bytes, (*sizes, peaks[most]))]
        name = row["run"]
        cells.append(
            [
                name,
                str(row["ranks"]),
                *(slot(costs, f"{name} {number}", text) for number, text in enumerate(shown)),
            ]
        )
    words = (
        f"{short_count(rows[0]['parameters'])} parameters, batches of {rows[0]['batch_size']} sequences shared out. "
        "Waiting is the part of a step in which a rank does nothing but wait for messages; bytes are those of the rank "
        "that needs the most, at its peak, and what the peak is made of."
    )
    heads = ("strategy", "ranks", "tokens/s", "waiting", *CATEGORIES, "peak")
    return together(tag("h2", "Ways of spreading"), tag("p", words, class_="note"), table(heads, cells))


def plans_section(plans: Sequence[tuple[Artifact, Rows]]) -> Html:
    """For each plan, the fastest layout that fits by number of GPUs."""
    heads = (
        "ranks",
        "fit",
        "data x tensor x pipe",
        "shards",
        "a rank's",
        "sent a step",
        "step, s",
        "exposed",
        "useful",
    )
    found: list[Html] = []
    for plan, rows in plans:
        config = plan.manifest["config"]
        model = ModelConfig(**config["model"])
        count = short_count(accounting.parameters(model).total)
        gpu = f"{config['memory_gb']:g} GB and {config['teraflops_per_second']:g} TFLOP/s each"
        words = (
            f"{count} parameters, {config['batch_sequences']:,} sequences of {config['seq'] or model.context_length:,} "
            f"tokens a step, ranks of {gpu}. By counting: how many layouts fit, and the fastest of them, with a rank's "
            "bytes, what it sends, and how much of the step nothing hides or is the model's own arithmetic."
        )
        found += [tag("p", words, class_="note"), table(heads, [_plan_cells(row) for row in rows])]
    return together(tag("h2", "What would fit"), found)


def _plan_cells(row: Mapping[str, Any]) -> list[str]:
    if "layout" not in row:
        return [f"{row['gpus']:,}", "0", "no layout divides the work", *([""] * 6)]
    memory = sum(row[f"{kind}_bytes"] for kind in CATEGORIES)
    return [
        f"{row['gpus']:,}",
        str(row["num_fitting"]),
        row["layout"],
        row["sharding"] + (", recomputed" if row["is_checkpointed"] else ""),
        readable_bytes(round(memory)),
        readable_bytes(round(row["sent_bytes"])),
        f"{row['planned_step_milliseconds'] / 1e3:.3g}",
        f"{row['exposed_fraction']:.0%}",
        f"{row['useful_fraction']:.0%}",
    ]


def _rate(records: Sequence[Mapping[str, Any]]) -> str:
    rates = [each["tokens_per_second"] for each in records if "tokens_per_second" in each]
    return f"{median(rates):,.0f}" if rates else ""


def _waiting(records: Sequence[Mapping[str, Any]]) -> str:
    waits = [
        each["exposed_seconds"] / each["step_seconds"]
        for each in records
        if each.get("exposed_seconds") is not None and each.get("step_seconds")
    ]
    return f"{median(waits):.0%}" if waits else ""
