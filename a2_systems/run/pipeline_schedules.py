"""Draw the schedules of a pipeline, one under the other on one clock, with what each waits and holds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a2_systems.parallel.pipeline.actions import ScheduleError
from a2_systems.parallel.pipeline.drawing import draw_timelines
from a2_systems.parallel.pipeline.runtime import messages
from a2_systems.parallel.pipeline.schedules import SCHEDULES, schedule_named
from a2_systems.parallel.pipeline.simulator import Durations, Timeline, peak_in_flight, simulate
from shared.errors import ConfigError
from shared.report.markup import tag
from shared.report.parts import figure, headline, table
from shared.report.publish import publish, write_page
from shared.runs.program import run_program
from shared.store.artifacts import Store

INPUTS: dict[str, str] = {}
OUTPUTS = {"report": "Report"}


@dataclass(frozen=True)
class PipelineSchedules:
    """Which pipeline to draw; times are those of a microbatch in all the layers that one rank holds."""

    # a schedule that cannot be had for these numbers is left out, with the reason; dualpipe wants them even
    num_ranks: int = 4
    num_microbatches: int = 8  # interleaved wants a multiple of the ranks, dualpipe twice as many and even
    forward: float = 1.0  # time of a forward pass, in any unit
    backward_input: float = 1.0  # time until the gradient that the stage before waits for
    backward_weight: float = 1.0  # time of the gradients of the weights
    send: float = 0.0  # time of a message, in the same unit; computing goes on meanwhile
    name: str = "pipeline_schedules"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"toy": PipelineSchedules(), "tiny": PipelineSchedules(num_ranks=2, num_microbatches=4)}


def timelines(config: PipelineSchedules) -> tuple[list[Timeline], list[str]]:
    """Every schedule with the same work for each rank and microbatch, and why some cannot be had.

    Thinner stages take a part of the time.
    """
    whole = Durations(config.forward, config.backward_input, config.backward_weight, config.send)
    found, left_out = [], []
    for name in SCHEDULES:
        try:
            schedule = schedule_named(name, config.num_ranks, config.num_microbatches)
        except ScheduleError as error:
            left_out.append(str(error))
            continue
        found.append(simulate(schedule, whole.divided(schedule.num_stages // config.num_ranks)))
    return found, left_out


def rows(config: PipelineSchedules, drawn: Sequence[Timeline]) -> list[list[str]]:
    """A line for each schedule: its time, what it waits, what it holds, and how many messages it sends."""
    found = []
    for timeline in drawn:
        schedule = timeline.schedule
        chunks = schedule.num_stages // config.num_ranks
        # In whole ranks' worth of layers, so that thin stages can be compared with thick ones.
        held = max(peak_in_flight(schedule, rank) for rank in range(config.num_ranks)) / chunks
        weights = max(len(schedule.stages_of(rank)) for rank in range(config.num_ranks)) / chunks
        found.append(
            [
                schedule.name,
                f"{timeline.total:g}",
                f"{100 * timeline.bubble_fraction:.1f} %",
                f"{held:g}",
                f"{weights:g}",
                str(len(messages(schedule))),
            ]
        )
    return found


def write(folder: Path, config: PipelineSchedules) -> Path:
    """The page and its figure, in a folder; returns the page."""
    drawn, left_out = timelines(config)
    path = draw_timelines(folder / "figures" / "timelines.png", drawn)
    best = min(drawn, key=lambda timeline: timeline.bubble_fraction)
    caption = (
        "A line is a rank, a box what it does with one microbatch, whose number it bears; empty is waiting. Paler "
        "boxes are those of a rank's further stage: its second chunk, or its stage of the other direction."
    )
    words = f"timelines of {len(drawn)} schedules, {config.num_ranks} ranks, {config.num_microbatches} microbatches"
    heads = ["schedule", "time", "waiting", "microbatches held", "copies of weights", "messages"]
    lede = (
        f"{config.num_ranks} ranks, {config.num_microbatches} microbatches, the same work in another order: "
        f"{best.schedule.name} waits least."
    )
    return write_page(
        folder,
        "The schedules of a pipeline",
        headline("Pipelines", "What a rank waits for", lede),
        figure(path, words, caption),
        table(heads, rows(config, drawn)),
        tag(
            "p",
            "Held and weights are those of the rank that holds most, in units of the layers that a rank of gpipe has. "
            "Times are simulated; the runtime executes the same lists.",
            class_="note",
        ),
        *[tag("p", f"Left out: {reason}.", class_="note") for reason in left_out],
    )


def main(config: PipelineSchedules) -> None:
    """Publish the Report `config.name` and say where its page is."""
    if config.num_ranks < 1 or config.num_microbatches < 1:
        raise ConfigError(
            f"num_ranks={config.num_ranks}, num_microbatches={config.num_microbatches}: wanted at least one of each"
        )
    sources = ["a2_systems"]
    publish(
        Store(config.store),
        "a2_systems.run.pipeline_schedules",
        config,
        {},
        lambda folder: write(folder, config),
        sources=sources,
    )
    drawn, left_out = timelines(config)
    for name, total, waiting, held, *_ in rows(config, drawn):
        print(f"  {name:12} time {total:>5}  waiting {waiting:>6}  holds {held}")
    for reason in left_out:
        print(f"  left out: {reason}")


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
