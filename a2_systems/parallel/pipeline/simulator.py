"""When each action of a schedule runs, how long ranks wait, and how many activations they hold.

Every rank does its list in order and starts an action as soon as it is free and what the action needs has arrived:
what the runtime does too, with measured times in place of given ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

from a2_systems.parallel.pipeline.actions import Action, Kind, Schedule, finishes, in_order

Duration = float


@dataclass(frozen=True)
class Durations:
    """How long one microbatch takes in one stage, in any unit; a backward pass is its two halves."""

    forward: Duration = 1.0
    backward_input: Duration = 1.0
    backward_weight: Duration = 1.0
    send: Duration = 0.0  # until a result is on another rank; computing goes on meanwhile

    def of(self, action: Action) -> Duration:
        """The time of this action."""
        return {
            Kind.FORWARD: self.forward,
            Kind.BACKWARD: self.backward_input + self.backward_weight,
            Kind.BACKWARD_INPUT: self.backward_input,
            Kind.BACKWARD_WEIGHT: self.backward_weight,
        }[action.kind]

    def divided(self, parts: int) -> "Durations":
        """Those of a stage cut into so many, which sends as long as before."""
        return Durations(
            self.forward / parts, self.backward_input / parts, self.backward_weight / parts, self.send
        )


@dataclass(frozen=True)
class Span:
    """An action on a rank, from its start to its end."""

    rank: int
    action: Action
    start: Duration
    end: Duration


@dataclass(frozen=True)
class Timeline:
    """A schedule with times."""

    schedule: Schedule
    spans: tuple[Span, ...]  # by start, on each rank in the order of its list

    @property
    def total(self) -> Duration:
        """From the first start to the last end."""
        return max(span.end for span in self.spans) - min(span.start for span in self.spans)

    @property
    def bubble_fraction(self) -> float:
        """The share of all ranks' time in which they wait."""
        busy = sum(span.end - span.start for span in self.spans)
        return 1 - busy / (self.total * len(self.schedule.ranks))

    def of_rank(self, rank: int) -> list[Span]:
        """One rank's spans, in order."""
        return [span for span in self.spans if span.rank == rank]


def simulate(
    schedule: Schedule, durations: Durations | Callable[[Action], Duration] = Durations()
) -> Timeline:
    """Time every action; a function gives each its own duration.

    Raises:
        ScheduleError: the ranks would wait for one another for ever.
    """
    duration_of, send = (
        (durations.of, durations.send) if isinstance(durations, Durations) else (durations, 0.0)
    )
    free = [0.0] * len(schedule.ranks)
    there: dict[tuple[Kind, int, int], tuple[int, Duration]] = {}  # result -> who has it, since when
    spans = []
    for rank, action in in_order(schedule):
        needs = [there[kind, stage, action.microbatch] for kind, stage in schedule.inputs_of(action)]
        start = max([free[rank], *(at + (send if holder != rank else 0.0) for holder, at in needs)])
        free[rank] = start + duration_of(action)
        there |= dict.fromkeys(finishes(action), (rank, free[rank]))
        spans.append(Span(rank, action, start, free[rank]))
    return Timeline(schedule, tuple(sorted(spans, key=lambda span: (span.start, span.rank))))


def peak_in_flight(schedule: Schedule, rank: int) -> int:
    """How many microbatches' activations a rank holds at most, counted in stages of its model.

    They come with the forward pass and go with the last of the backward pass. The order decides, not the times.
    """
    held = peak = 0
    for action in schedule.ranks[rank]:
        held += action.kind is Kind.FORWARD
        peak = max(peak, held)
        held -= action.kind in (Kind.BACKWARD, Kind.BACKWARD_WEIGHT)
    return peak
