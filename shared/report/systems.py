"""Make the page of stage 2: two ranks = one rank, kernels against the oracle, speed and memory, and what would fit.

Each part is a Runs that a program of stage 2 made; a part without a name is left out.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.report import systems_parts as parts
from shared.report.attention_tables import attention_section, compile_section
from shared.report.markup import Html, tag
from shared.report.measure import measured_sections
from shared.report.parts import headline
from shared.report.publish import publish, write_page
from shared.runs.program import run_program
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import read_runs

INPUTS = dict.fromkeys(
    ("training", "kernels", "strategies", "plans", "steps", "attention", "compiled"), "Runs"
)
OUTPUTS = {"report": "Report"}


@dataclass(frozen=True)
class SystemsPage:
    """Which Runs to show, by name or digest."""

    training: str = "a2"  # of a2_systems.run.compare_training
    kernels: str = ""  # of a2_systems.run.check_kernels
    strategies: str = ""  # of a2_systems.run.measure_strategies
    plans: tuple[str, ...] = ()  # of a2_systems.run.plan
    steps: str = ""  # of a2_systems.run.measure_step
    attention: str = ""  # of a2_systems.run.measure_attention
    compiled: str = ""  # of a2_systems.run.measure_compile
    name: str = "a2"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": SystemsPage()}


def main(config: SystemsPage) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    found = {
        role: store.open(name, "Runs")
        for role in ("training", "kernels", "strategies", "steps", "attention", "compiled")
        if (name := getattr(config, role))
    }
    plans = [store.open(name, "Runs") for name in config.plans]
    named = {role: artifact.digest for role, artifact in found.items()}
    read = dataclasses.replace(config, **named, plans=tuple(plan.digest for plan in plans))
    inputs = named | {f"plan{number}": plan.digest for number, plan in enumerate(plans)}
    publish(
        store,
        "shared.report.systems",
        read,
        inputs,
        lambda folder: write_systems(folder, found, plans),
    )


def write_systems(folder: Path, found: dict[str, Artifact], plans: list[Artifact]) -> Path:
    """The page and its figures, in a folder; returns the page.

    What a rank's time and memory were fills slots of the tables, from a file outside the page's digest.
    """
    figures = folder / "figures"
    training = found["training"]
    rows, curves = read_runs(training)
    tolerance = training.manifest["config"]["tolerance_nats"]
    costs: dict[str, str] = {}
    lede = parts.finding(rows)
    sections: list[Html] = [parts.training_section(rows, curves, tolerance, figures, costs)]
    if "kernels" in found:
        kernels, _ = read_runs(found["kernels"])
        sections.append(parts.kernels_section(kernels))
        lede += " " + parts.kernels_finding(kernels)
    if "strategies" in found:
        sections.append(parts.strategies_section(read_runs(found["strategies"])[0], costs))
    if plans:
        sections.append(parts.plans_section([(plan, read_runs(plan)[0]) for plan in plans]))
    if "steps" in found:
        sections += measured_sections(*read_runs(found["steps"]), figures)
    if "attention" in found:
        sections.append(attention_section(read_runs(found["attention"])[0], figures))
    if "compiled" in found:
        sections.append(compile_section(read_runs(found["compiled"])[0], figures))
    origin = f"Made from training runs {training.digest[:12]} by shared.report.systems."
    return write_page(
        folder,
        "Stage 2: the same numbers on more devices",
        headline("Stage 2: systems", "The same numbers, on more devices", lede),
        *sections,
        tag("footer", origin),
        costs=costs,
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
