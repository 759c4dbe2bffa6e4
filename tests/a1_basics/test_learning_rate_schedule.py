"""The cosine schedule with warm-up: its ends, its shape, its limit cases, then the formula.

All four numbers of the job may be degenerate: no warm-up, no cosine, no steps at all, equal rates.
"""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.explain import expect, expect_close

# The rate is one cosine and a few products of float64 numbers.
RTOL = 1e-9


def rate(adapters, it, top=1.0, bottom=0.1, warmup=7, end=21):
    return adapters.run_get_lr_cosine_schedule(
        it=it,
        max_learning_rate=top,
        min_learning_rate=bottom,
        warmup_iters=warmup,
        cosine_cycle_iters=end,
    )


def job(it=None, top=1.0, bottom=0.1, warmup=7, end=21):
    step = "" if it is None else f"it={it}, "
    return f"{step}max {top:g}, min {bottom:g}, warmup_iters {warmup}, cosine_cycle_iters {end}"


def test_rate_is_a_plain_number(adapters):
    for it in (0, 3, 7, 10, 21, 40):
        got = rate(adapters, it)
        expect(
            isinstance(got, (int, float)) and not isinstance(got, bool),
            what="the rate is a Python number",
            why="it is written into param_groups, logs and checkpoints: a tensor there breaks comparison, JSON "
            "and safe loading",
            counterexample=f"it={it}: got {got!r}, a {type(got).__name__}",
        )


def test_warm_up_rises_evenly_from_zero(adapters):
    got = [rate(adapters, it, top=0.4, warmup=8, end=20) for it in range(9)]
    expect_close(
        got,
        [0.05 * it for it in range(9)],
        what="during warm-up the rate is max * it / warmup_iters: 0 at step 0, the maximum at warmup_iters",
        why="the first gradients are large and Adam's averages empty: too high a rate at the start throws the "
        "model to where it recovers slowly or never",
        rtol=RTOL,
        atol=1e-12,
        case=job(top=0.4, warmup=8, end=20) + ", it 0 .. 8",
    )


def test_cosine_falls_from_the_maximum_to_the_minimum(adapters):
    marks = {7: 1.0, 14: 0.55, 21: 0.1}
    expect_close(
        [rate(adapters, it) for it in marks],
        list(marks.values()),
        what="the maximum stands at warmup_iters, the mean of both rates half-way, the minimum at "
        "cosine_cycle_iters",
        why="the decay is half a period of a cosine over the steps *after* the warm-up; started or ended "
        "elsewhere it leaves a jump, or never comes down",
        rtol=RTOL,
        atol=1e-12,
        case=job() + ", it 7, 14, 21",
    )


def test_curve_is_flat_at_both_ends(adapters):
    top, bottom, warmup, end = 1.0, 0.2, 10, 110
    steps = [rate(adapters, it, top, bottom, warmup, end) for it in range(warmup, end + 1)]
    falls = -np.diff(steps)
    # A straight line falls by 0.008 in each of 100 steps; the cosine by 0.0002 in the first and last of them
    # and by 0.0126 in the middle.
    expect(
        bool(falls[0] < 0.001 and falls[-1] < 0.001 and falls[50] > 0.012),
        what="the rate falls slowly at first, fastest in the middle, slowly at the end",
        why="half a cosine stays long near both rates; a straight line, or a quarter of a period, is another "
        "schedule",
        counterexample=f"falls at the first, middle and last step: {falls[0]:.4f}, {falls[50]:.4f}, "
        f"{falls[-1]:.4f}; wanted 0.0002, 0.0126, 0.0002",
        case=job(None, top, bottom, warmup, end),
    )


@pytest.mark.parametrize("it", [22, 23, 42, 10_000_000])
def test_after_the_cosine_the_rate_stays_at_the_minimum(adapters, it):
    expect_close(
        rate(adapters, it),
        0.1,
        what="beyond cosine_cycle_iters the rate is the minimum",
        why="a cosine that goes on rises again; after 2 periods a run that was continued trains at the full "
        "rate",
        atol=1e-12,
        case=job(it),
    )


def test_without_warm_up_the_maximum_stands_at_step_zero(adapters):
    expect_close(
        [rate(adapters, it, warmup=0, end=10) for it in (0, 5, 10, 11)],
        [1.0, 0.55, 0.1, 0.1],
        what="warmup_iters=0 starts the cosine at step 0",
        why="it / warmup_iters divides by zero: the usual setting for continuing a model must not crash",
        rtol=RTOL,
        atol=1e-12,
        case=job(warmup=0, end=10) + ", it 0, 5, 10, 11",
    )


def test_cosine_without_length_is_a_jump(adapters):
    for warmup in (4, 0):
        steps = [rate(adapters, it, warmup=warmup, end=warmup) for it in range(warmup + 3)]
        want = [it / warmup for it in range(warmup)]
        expect_close(
            [*steps[:warmup], *steps[warmup + 1 :]],
            [*want, 0.1, 0.1],
            what="cosine_cycle_iters = warmup_iters: the warm-up as ever, then the minimum",
            why="the length of the cosine is 0 and stands below a fraction; short trial runs have it",
            rtol=RTOL,
            atol=1e-12,
            case=job(warmup=warmup, end=warmup) + f", it {warmup} left out",
        )
        # The step itself is the start of a cosine and its end: either rate is right.
        between = steps[warmup]
        expect(
            min(abs(between - 1.0), abs(between - 0.1)) < 1e-9,
            what="the step at which the cosine starts and ends has the maximum or the minimum",
            why="0/0 there is an exception, or a NaN that spoils every weight",
            counterexample=f"got {between!r}",
            case=job(warmup, warmup=warmup, end=warmup),
        )


def test_equal_rates_stay_level(adapters):
    expect_close(
        [rate(adapters, it, top=0.3, bottom=0.3, warmup=2, end=9) for it in range(2, 14)],
        [0.3] * 12,
        what="with max = min the rate is level after the warm-up",
        why="that is how a constant rate is asked for",
        rtol=RTOL,
        atol=1e-12,
        case=job(top=0.3, bottom=0.3, warmup=2, end=9),
    )


def test_calls_do_not_depend_on_each_other(adapters):
    asked = [30, 0, 14, 3, 14, 21, 7, 0]
    together = [rate(adapters, it) for it in asked]
    expect_close(
        together,
        [oracle(it, 1.0, 0.1, 7, 21) for it in asked],
        what="the rate is a function of its arguments: asked in any order, any number of times",
        why="a resumed run asks for step 1000 first; a counter inside would start again at 0",
        rtol=RTOL,
        atol=1e-12,
        case=job() + f", it {asked}",
    )


def oracle(it: int, top: float, bottom: float, warmup: int, end: int) -> float:
    """The formula, for an end beyond the warm-up."""
    if it < warmup:
        return it * top / warmup
    part = min((it - warmup) / (end - warmup), 1.0)
    return bottom + (top - bottom) * math.cos(part * math.pi / 2) ** 2  # (1 + cos 2a) / 2 = cos(a)^2


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    warmup=st.integers(0, 50),
    length=st.integers(1, 80),
    it=st.integers(0, 200),
    top=st.floats(1e-5, 10),
    share=st.floats(0, 1),
)
def test_follows_the_formula(adapters, warmup, length, it, top, share):
    bottom, end = top * share, warmup + length
    expect_close(
        rate(adapters, it, top, bottom, warmup, end),
        oracle(it, top, bottom, warmup, end),
        what="the rate follows the formula",
        why="the rate is the setting that matters most, and every published one belongs to this curve",
        rtol=1e-7,  # (1 + cos) near its zero loses the digits that cos^2 keeps
        atol=1e-9 * top,
        case=job(it, top, bottom, warmup, end),
    )
