"""What a rank of a pipeline can be told to do, and the laws that a list of such actions must keep.

A model cut into stages, a batch cut into microbatches: every schedule runs the same actions and differs in their order
alone. So a schedule is data, a list for each rank. It is checked here, timed and drawn by `simulator`, and run, as it
stands, by `runtime`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from shared.errors import WorkspaceError


class ScheduleError(WorkspaceError, ValueError):
    """A list of actions that no pipeline can run, or that would not train the model it is for."""


class Kind(StrEnum):
    """What is done with one microbatch in one stage."""

    FORWARD = "F"
    BACKWARD = "B"  # both halves at once
    BACKWARD_INPUT = "I"  # the gradient of what came in: the stage before is waiting for it
    BACKWARD_WEIGHT = "W"  # the gradients of the weights: nobody waits for them before the optimizer's step


class Action(NamedTuple):
    """One microbatch through one stage, in one direction."""

    kind: Kind
    stage: int
    microbatch: int

    def __str__(self) -> str:
        return f"{self.kind}{self.microbatch} of stage {self.stage}"


def forward(stage: int, microbatch: int) -> Action:
    """The activations of a microbatch."""
    return Action(Kind.FORWARD, stage, microbatch)


def backward(stage: int, microbatch: int) -> Action:
    """All its gradients."""
    return Action(Kind.BACKWARD, stage, microbatch)


def backward_input(stage: int, microbatch: int) -> Action:
    """The gradient that the stage before needs."""
    return Action(Kind.BACKWARD_INPUT, stage, microbatch)


def backward_weight(stage: int, microbatch: int) -> Action:
    """The gradients that the optimizer needs."""
    return Action(Kind.BACKWARD_WEIGHT, stage, microbatch)


@dataclass(frozen=True)
class Schedule:
    """Each rank's actions in their order. Which rank holds a stage is read off the lists."""

    name: str
    num_stages: int
    num_microbatches: int
    ranks: tuple[tuple[Action, ...], ...]

    def rank_of(self) -> dict[tuple[int, int], int]:
        """(stage, microbatch) -> the rank that runs its forward pass."""
        return {
            (action.stage, action.microbatch): rank
            for rank, actions in enumerate(self.ranks)
            for action in actions
            if action.kind is Kind.FORWARD
        }

    def stages_of(self, rank: int) -> list[int]:
        """The stages whose weights this rank holds."""
        return sorted({action.stage for action in self.ranks[rank]})

    def inputs_of(self, action: Action) -> Iterator[tuple[Kind, int]]:
        """What must be done with the same microbatch before: (kind, stage); BACKWARD stands for either form."""
        kind, stage = action.kind, action.stage
        if kind is Kind.FORWARD and stage > 0:
            yield Kind.FORWARD, stage - 1
        if kind in (Kind.BACKWARD, Kind.BACKWARD_INPUT):
            yield Kind.FORWARD, stage
            if stage < self.num_stages - 1:
                yield Kind.BACKWARD, stage + 1
        if kind is Kind.BACKWARD_WEIGHT:
            yield Kind.BACKWARD_INPUT, stage


def finishes(action: Action) -> Iterable[tuple[Kind, int, int]]:
    """What others may wait for and is there once this action is done; a gradient of inputs comes in two forms."""
    kind, stage, microbatch = action
    if kind is Kind.BACKWARD_INPUT:
        return (kind, stage, microbatch), (Kind.BACKWARD, stage, microbatch)
    return (action,)


def check_schedule(schedule: Schedule) -> None:
    """Every microbatch goes through every stage once, forth and back, on one rank, in an order that ends.

    Raises:
        ScheduleError: an action is missing, comes twice, lies outside the pipeline, or has its backward on a rank that
            does not hold its activations; or the ranks would wait for one another for ever.
    """
    _check_all_there(schedule)
    _check_ranks(schedule)
    in_order(schedule)


def _check_all_there(schedule: Schedule) -> None:
    counts = Counter(action for actions in schedule.ranks for action in actions)
    for action, count in counts.items():
        if not (
            0 <= action.stage < schedule.num_stages and 0 <= action.microbatch < schedule.num_microbatches
        ):
            raise ScheduleError(
                f"{schedule.name}: {action} lies outside {schedule.num_stages} stages and "
                f"{schedule.num_microbatches} microbatches"
            )
        if count > 1:
            raise ScheduleError(f"{schedule.name}: {action} is run {count} times; wanted once")
    for stage in range(schedule.num_stages):
        for microbatch in range(schedule.num_microbatches):
            done = {kind for kind in Kind if Action(kind, stage, microbatch) in counts}
            if done not in ({Kind.FORWARD, Kind.BACKWARD}, set(Kind) - {Kind.BACKWARD}):
                found = sorted(kind.value for kind in done)
                raise ScheduleError(
                    f"{schedule.name}: microbatch {microbatch} has {found} in stage {stage}; wanted F and B, or F, I "
                    "and W"
                )


def _check_ranks(schedule: Schedule) -> None:
    rank_of = schedule.rank_of()
    for rank, actions in enumerate(schedule.ranks):
        for action in actions:
            holder = rank_of[action.stage, action.microbatch]
            if holder != rank:
                raise ScheduleError(
                    f"{schedule.name}: rank {rank} runs {action}, whose activations lie on rank {holder}"
                )


def in_order(schedule: Schedule) -> list[tuple[int, Action]]:
    """All actions with their ranks, in an order in which each finds what it needs; each rank keeps its own.

    Raises:
        ScheduleError: there is none; the message shows what each rank would wait for.
    """
    place = [0] * len(schedule.ranks)
    done: set[tuple[Kind, int, int]] = set()
    order: list[tuple[int, Action]] = []
    moved = True
    while moved:
        moved = False
        for rank, actions in enumerate(schedule.ranks):
            while place[rank] < len(actions):
                action = actions[place[rank]]
                if not all((*need, action.microbatch) in done for need in schedule.inputs_of(action)):
                    break
                done.update(finishes(action))
                order.append((rank, action))
                place[rank], moved = place[rank] + 1, True
    if any(at < len(actions) for at, actions in zip(place, schedule.ranks, strict=True)):
        raise ScheduleError(f"{schedule.name} never ends: {_waiting(schedule.ranks, place)}")
    return order


def _waiting(ranks: Sequence[Sequence[Action]], place: Sequence[int]) -> str:
    stuck = (
        (rank, actions[at])
        for rank, (actions, at) in enumerate(zip(ranks, place, strict=True))
        if at < len(actions)
    )
    return ", ".join(f"rank {rank} waits before {action}" for rank, action in stuck)
