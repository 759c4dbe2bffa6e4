"""Schedules of pipelines: complete and without deadlock at every size, and with the bubbles that theory gives them."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2_systems.parallel.pipeline.actions import (
    Kind,
    Schedule,
    ScheduleError,
    backward,
    backward_input,
    backward_weight,
    check_schedule,
    forward,
)
from a2_systems.parallel.pipeline.schedules import (
    SCHEDULES,
    dualpipe,
    gpipe,
    interleaved,
    one_forward_one_backward,
    schedule_named,
    zero_bubble,
)
from a2_systems.parallel.pipeline.simulator import Durations, peak_in_flight, simulate

ROUNDING = 1e-9  # float64 sums of a few thousand durations near one
sizes = st.tuples(st.integers(1, 6), st.integers(1, 12))
durations = st.builds(
    Durations, st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0.1, 3), send=st.floats(0, 1)
)


def fitting(name: str, num_ranks: int, num_microbatches: int) -> Schedule:
    """The schedule at the nearest size that it can be had for."""
    if name == "interleaved":
        num_microbatches += -num_microbatches % num_ranks
    if name == "dualpipe":
        num_ranks += num_ranks % 2
        num_microbatches += 2 * num_ranks + num_microbatches % 2
    return schedule_named(name, num_ranks, num_microbatches)


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=25)
@given(sizes, durations)
def test_every_schedule_is_whole_and_ends(name, size, times):
    schedule = fitting(name, *size)
    check_schedule(schedule)
    timeline = simulate(schedule, times)
    assert len(timeline.spans) == sum(len(actions) for actions in schedule.ranks)
    for rank, actions in enumerate(schedule.ranks):
        spans = timeline.of_rank(rank)
        assert tuple(span.action for span in spans) == actions  # what is drawn is the list
        assert all(one.end <= other.start for one, other in itertools.pairwise(spans))


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=25)
@given(sizes, durations)
def test_nothing_starts_before_what_it_needs_has_arrived(name, size, times):
    schedule = fitting(name, *size)
    spans = simulate(schedule, times).spans
    end = {(span.action.kind, span.action.stage, span.action.microbatch): span for span in spans}
    for span in spans:
        _, stage, microbatch = span.action
        if span.action.kind is Kind.FORWARD:
            before = [end[Kind.FORWARD, stage - 1, microbatch]] if stage else []
        elif span.action.kind is Kind.BACKWARD_WEIGHT:
            before = [end[Kind.BACKWARD_INPUT, stage, microbatch]]
        else:
            before = [end[Kind.FORWARD, stage, microbatch]]
            for kind in (Kind.BACKWARD, Kind.BACKWARD_INPUT):
                before += [end[kind, stage + 1, microbatch]] if (kind, stage + 1, microbatch) in end else []
        for other in before:
            assert span.start >= other.end + (times.send if other.rank != span.rank else 0)


@settings(max_examples=25)
@given(sizes, st.floats(0.1, 3), st.floats(0.1, 3))
def test_gpipe_and_1f1b_wait_alike(size, there, back):
    p, m = size
    times = Durations(there, back / 2, back / 2)
    for make in (gpipe, one_forward_one_backward):
        assert simulate(make(p, m), times).bubble_fraction == pytest.approx(
            (p - 1) / (m + p - 1), abs=ROUNDING
        )


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_thinner_stages_divide_the_bubble(p, groups, chunks):
    m = groups * p
    schedule = interleaved(p, m, chunks)
    bubble = simulate(schedule, Durations().divided(chunks)).bubble_fraction
    assert bubble == pytest.approx((p - 1) / (chunks * m + p - 1), abs=ROUNDING)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(0, 9), st.floats(0.5, 2), st.floats(0.2, 1), st.floats(0.2, 1))
def test_weights_put_off_fill_the_bubble(p, more, there, back_share, weight_share):
    back, weight = there * back_share, there * back_share * weight_share  # W <= I <= F
    timeline = simulate(zero_bubble(p, 2 * p + more), Durations(there, back, weight))
    waits = timeline.total - (2 * p + more) * (there + back + weight)
    assert waits == pytest.approx((p - 1) * (there + back - weight), abs=1e-6)


@settings(max_examples=25)
@given(st.integers(1, 9), st.data(), st.floats(0.5, 2), st.floats(0.2, 1), st.floats(0.2, 1))
def test_with_few_microbatches_the_way_there_and_back_is_the_bubble(p, data, there, back_share, weight_share):
    """The first rank waits for its own microbatches: what it can fill that with are the weights of those it has."""
    m = data.draw(st.integers(1, p))
    back, weight = there * back_share, there * back_share * weight_share
    timeline = simulate(zero_bubble(p, m), Durations(there, back, weight))
    waits = timeline.total - m * (there + back + weight)
    assert waits == pytest.approx((p - 1) * (there + back) - (m - 1) * weight, abs=1e-6)


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(2, 4), st.integers(1, 4))
def test_thinner_stages_hold_more(p, groups, chunks):
    """Of rank 0, in whole ranks' worth of layers: p (1 + (p - 1) / (p v)), as published; the others hold less."""
    schedule = interleaved(p, groups * p, chunks)
    held = [peak_in_flight(schedule, rank) / chunks for rank in range(p)]
    assert held[0] == max(held) == pytest.approx(p + (p - 1) / chunks)


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 5))
def test_two_directions_wait_least(half, more):
    p, m = 2 * half, 4 * half + 2 * more
    bubbles = [
        simulate(make(p, m)).bubble_fraction for make in (one_forward_one_backward, zero_bubble, dualpipe)
    ]
    assert bubbles[0] > bubbles[1] > bubbles[2]
    waits = simulate(dualpipe(p, m)).total - 3 * m
    assert waits <= (half - 1) * (1 + 2 * 2 - 3 * 1) + ROUNDING  # (p/2 - 1) (F + 2 B - 3 W)
    assert all(peak_in_flight(dualpipe(p, m), rank) <= p + 1 for rank in range(p))


@settings(max_examples=25)
@given(sizes)
def test_activations_held(size):
    p, m = size
    for rank in range(p):
        assert peak_in_flight(gpipe(p, m), rank) == m
        assert peak_in_flight(one_forward_one_backward(p, m), rank) == min(p - rank, m)
        assert peak_in_flight(zero_bubble(p, m), rank) <= min(p, m)


def test_two_stages_by_hand():
    assert [str(action) for action in one_forward_one_backward(2, 2).ranks[0]] == [
        "F0 of stage 0",
        "F1 of stage 0",
        "B0 of stage 0",
        "B1 of stage 0",
    ]
    timeline = simulate(gpipe(2, 1), Durations(send=0.5))
    assert [(span.rank, span.start, span.end) for span in timeline.spans] == [
        (0, 0.0, 1.0),
        (1, 1.5, 2.5),
        (1, 2.5, 4.5),
        (0, 5.0, 7.0),
    ]
    assert timeline.bubble_fraction == pytest.approx(1 - 6 / 14)


WHOLE = (forward(0, 0), backward(0, 0))


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ((WHOLE, (forward(1, 0),)), r"microbatch 0 has \['F'\] in stage 1"),
        (((*WHOLE, WHOLE[0]), (forward(1, 0), backward(1, 0))), "F0 of stage 0 is run 2 times"),
        ((WHOLE, (forward(1, 0), backward_input(1, 0))), r"has \['F', 'I'\] in stage 1"),
        (
            (WHOLE, (forward(1, 0), backward(1, 0), backward_weight(1, 0))),
            r"has \['B', 'F', 'W'\] in stage 1",
        ),
        (
            (WHOLE, (forward(1, 0), backward(1, 0), forward(1, 1))),
            "F1 of stage 1 lies outside 2 stages and 1",
        ),
        (((WHOLE[0], backward(1, 0)), (forward(1, 0), WHOLE[1])), "whose activations lie on rank"),
        (
            (WHOLE, (backward(1, 0), forward(1, 0))),
            "never ends: rank 0 waits before B0 of stage 0, rank 1 waits",
        ),
    ],
)
def test_lists_that_cannot_be_run_are_refused(ranks, words):
    with pytest.raises(ScheduleError, match=words):
        check_schedule(Schedule("wrong", 2, 1, ranks))


@settings(max_examples=25)
@given(sizes, st.data())
def test_a_list_that_lost_an_action_is_refused(size, data):
    schedule = zero_bubble(*size)
    rank = data.draw(st.integers(0, size[0] - 1))
    at = data.draw(st.integers(0, len(schedule.ranks[rank]) - 1))
    actions = schedule.ranks[rank][:at] + schedule.ranks[rank][at + 1 :]
    with pytest.raises(ScheduleError, match="wanted F and B"):
        check_schedule(
            dataclasses.replace(
                schedule, ranks=(*schedule.ranks[:rank], actions, *schedule.ranks[rank + 1 :])
            )
        )


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "words"),
    [
        ("interleaved", 4, 6, "take a multiple of 4"),
        ("dualpipe", 3, 12, "an even number of ranks"),
        ("dualpipe", 4, 6, "at least twice as many"),
        ("fastest", 4, 8, "known: gpipe, 1f1b"),
        ("gpipe", 0, 8, "at least one of each"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(name, ranks, microbatches, words):
    with pytest.raises(ScheduleError, match=words):
        schedule_named(name, ranks, microbatches)
