"""Schedules of a pipeline, as lists: complete, without deadlock, with the bubbles and the memory of theory."""

import pytest

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import pipeline as oracle

NAMES = ("gpipe", "1f1b", "zero_bubble")
SIZES = ((1, 3), (2, 2), (3, 7), (4, 2), (4, 4), (5, 12))
SECONDS = {"F": 1.0, "B": 2.5, "I": 1.25, "W": 1.25}
ROUNDING = 1e-9  # float64 sums of at most a few hundred numbers near one


def ranks_of(adapters, name: str, num_stages: int, num_microbatches: int):
    ranks = adapters.pipeline_schedule(name=name, num_stages=num_stages, num_microbatches=num_microbatches)
    case = f"{name}, {num_stages} stages, {num_microbatches} microbatches"
    is_plain = type(ranks) is list and all(
        type(steps) is list and all(type(step) is tuple and len(step) == 3 for step in steps)
        for steps in ranks
    )
    expect(
        is_plain and len(ranks) == num_stages,
        what="a schedule is a list for each rank, of tuples (kind, stage, microbatch)",
        why="whoever runs it knows nothing of your classes",
        counterexample=f"got {str(ranks)[:200]}",
        case=case,
    )
    return ranks, case


def waiting(ranks, case: str, seconds: dict[str, float]) -> float:
    """What a rank waits in all that works as long as the others."""
    total, stuck = oracle.run(ranks, seconds)
    expect_equal(
        stuck,
        [],
        what="every action finds what it needs, in the order of the lists: none is left over",
        why="a rank that waits for what another would do only later stops all of them, without a word",
        case=case,
    )
    return total - max(sum(seconds[kind] for kind, _, _ in steps) for steps in ranks)


@pytest.mark.parametrize("name", NAMES)
def test_every_microbatch_passes_every_stage_once(adapters, name):
    kinds = ("F", "I", "W") if name == "zero_bubble" else ("B", "F")
    for num_stages, num_microbatches in SIZES:
        ranks, case = ranks_of(adapters, name, num_stages, num_microbatches)
        for rank, steps in enumerate(ranks):
            expect_equal(
                sorted(steps),
                sorted((kind, rank, each) for kind in kinds for each in range(num_microbatches)),
                what=f"rank r runs {', '.join(kinds)} of stage r once for every microbatch",
                why="a gradient that is left out or counted twice trains another model, and nothing tells",
                case=f"{case}, rank {rank}, sorted",
            )


@pytest.mark.parametrize("name", NAMES)
def test_no_rank_waits_for_ever(adapters, name):
    for size in SIZES:
        waiting(*ranks_of(adapters, name, *size), SECONDS)


@pytest.mark.parametrize("name", ["gpipe", "1f1b"])
def test_the_bubble_is_that_of_filling_and_emptying(adapters, name):
    for num_stages, num_microbatches in SIZES:
        ranks, case = ranks_of(adapters, name, num_stages, num_microbatches)
        expect_close(
            waiting(ranks, case, SECONDS),
            (num_stages - 1) * (SECONDS["F"] + SECONDS["B"]),
            what="a rank waits (p - 1) (F + B): for the pipeline to fill and to empty, and never between",
            why="every other gap is a GPU that was paid for and did nothing",
            atol=ROUNDING,
            case=case,
        )


def test_gpipe_goes_forward_before_it_goes_back(adapters):
    for num_stages, num_microbatches in SIZES:
        ranks, case = ranks_of(adapters, "gpipe", num_stages, num_microbatches)
        for steps in ranks:
            expect_equal(
                [kind for kind, _, _ in steps],
                ["F"] * num_microbatches + ["B"] * num_microbatches,
                what="gpipe runs all forward passes, then all backward passes",
                why="it is the schedule the others are measured against, in time and in memory",
                case=case,
            )


def test_1f1b_holds_few_activations(adapters):
    for num_stages, num_microbatches in SIZES:
        ranks, case = ranks_of(adapters, "1f1b", num_stages, num_microbatches)
        expect_equal(
            [oracle.most_held(steps) for steps in ranks],
            [min(num_stages - rank, num_microbatches) for rank in range(num_stages)],
            what="rank r holds the activations of at most p - r microbatches",
            why="that is what 1f1b is for: gpipe's memory grows with the batch, and this does not",
            case=case,
        )


def test_zero_bubble_fills_the_gaps_with_weights(adapters):
    for num_stages, num_microbatches in ((1, 3), (2, 4), (3, 7), (4, 8), (5, 12)):
        for seconds in ({"F": 1.0, "I": 1.0, "W": 1.0}, {"F": 1.5, "I": 1.25, "W": 1.0}):
            ranks, case = ranks_of(adapters, "zero_bubble", num_stages, num_microbatches)
            waits = waiting(ranks, case, seconds)
            allowed = (num_stages - 1) * (seconds["F"] + seconds["I"] - seconds["W"])
            plain = (num_stages - 1) * sum(seconds.values())
            expect(
                waits <= allowed + ROUNDING,
                what="with m >= 2p a rank waits at most (p - 1) (F + I - W)",
                why="nobody waits for the gradients of weights, so they belong where a rank would wait",
                counterexample=f"waits {waits:g}, allowed {allowed:g}; 1f1b waits {plain:g}",
                case=f"{case}, times {seconds}",
            )


def test_zero_bubble_holds_no_more_than_p(adapters):
    for num_stages, num_microbatches in SIZES:
        ranks, case = ranks_of(adapters, "zero_bubble", num_stages, num_microbatches)
        held = [oracle.most_held(steps) for steps in ranks]
        expect(
            max(held) <= num_stages,
            what="no rank holds more than p microbatches, each from its F to its W",
            why="a bubble that is filled by holding everything is gpipe's memory again",
            counterexample=f"held by rank: {held}",
            case=case,
        )


def test_a_wrong_name_or_size_is_refused(adapters):
    for name, num_stages, num_microbatches in (("fastest", 2, 2), ("1f1b", 0, 2), ("gpipe", 2, 0)):
        case = f"{name!r}, {num_stages} stages, {num_microbatches} microbatches"
        is_refused = False
        try:
            adapters.pipeline_schedule(name=name, num_stages=num_stages, num_microbatches=num_microbatches)
        except ValueError:
            is_refused = True
        expect(
            is_refused,
            what="an unknown name, no stages or no microbatches are a ValueError",
            why="a job on hundreds of GPUs should fail before it begins, not train nothing",
            case=case,
        )
