"""Growth: known exponents are found in noise, an overhead is told apart, too little is refused, and verdicts follow."""

import math

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.runs import growth
from shared.runs.growth import Fit, Grown, Growth, fit_growth, grid, growth_rows, measure_growth

SIZES = grid(100, 100_000)


def noisy(costs, seed, noise):
    """Costs with what other work adds: never less, sometimes a few percent more."""
    added = np.abs(np.random.default_rng(seed).standard_normal(len(costs)))
    return (np.asarray(costs) * (1 + noise * added)).tolist()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("overhead", [0.0, 0.1, 3.0])
def test_a_known_exponent_is_found_in_noise_and_beside_an_overhead(exponent, overhead):
    """`overhead` is in units of the cost at the third size: the largest hides the growth of the smaller half."""
    costs = overhead * SIZES[2] ** exponent + np.asarray(SIZES, dtype=float) ** exponent
    fits = [fit_growth(SIZES, noisy(costs, seed, 0.03)) for seed in range(20)]
    errors = [abs(fit.exponent - exponent) for fit in fits]
    assert np.median(errors) < 0.04
    # Two standard errors hold 95 of 100; with few degrees of freedom, and noise of one sign, somewhat fewer.
    assert sum(error <= 3 * fit.error for error, fit in zip(errors, fits, strict=True)) >= 17


def test_without_noise_the_fit_is_exact():
    fit = fit_growth(SIZES, [0.004 + 2e-6 * size**1.2 for size in SIZES])
    assert fit.exponent == pytest.approx(1.2, abs=1e-3)  # its last steps are a ten-thousandth
    assert fit.overhead == pytest.approx(0.004, rel=1e-2)
    assert fit.at(SIZES[-1]) == pytest.approx(0.004 + 2e-6 * SIZES[-1] ** 1.2, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_cost_does_not_matter(scale):
    costs = noisy([size + 1000.0 for size in SIZES], 0, 0.05)
    fit, scaled = fit_growth(SIZES, costs), fit_growth(SIZES, [scale * cost for cost in costs])
    assert scaled.exponent == pytest.approx(fit.exponent)
    assert scaled.error == pytest.approx(fit.error, rel=1e-3)
    assert 0.005 < fit.error < 0.5
    assert scaled.overhead == pytest.approx(scale * fit.overhead)


def test_an_overhead_would_make_a_plain_slope_too_small():
    costs = [1.0 + size / 1000 for size in SIZES]
    slope = np.polyfit(np.log(SIZES), np.log(costs), 1)[0]
    assert slope < 0.75
    assert fit_growth(SIZES, costs).exponent == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_constant_has_exponent_zero(seed):
    fit = fit_growth(SIZES, noisy([0.02] * len(SIZES), seed, 0.2))
    assert abs(fit.exponent) < 0.1
    assert fit.error < 0.1


def test_n_log_n_is_within_the_tolerance_of_linear_and_a_power_of_three_halves_is_not():
    def verdict(costs):
        work = Growth("group", "name", "items", SIZES, lambda size, folder: lambda: None, 1.0, "why")
        return Grown(work, 1, tuple(costs), tuple(costs), fit_growth(SIZES, costs)).verdict

    assert verdict([size * math.log(size) for size in SIZES]) == "as predicted"
    assert verdict([size**1.5 for size in SIZES]) == "grows faster"
    assert verdict([size**0.6 for size in SIZES]) == "grows slower"


@pytest.mark.parametrize("sizes", [(10, 100, 1000), grid(10, 3000), (1, 2, 3, 4, 5), ()])
def test_too_narrow_a_range_is_refused_before_any_work(sizes):
    with pytest.raises(ConfigError, match="decide no exponent"):
        fit_growth(sizes, [1.0] * len(sizes))
    work = Growth("group", "name", "items", sizes, lambda size, folder: pytest.fail("prepared"), 1.0, "why")
    with pytest.raises(ConfigError, match="decide no exponent"):
        measure_growth(work)


def test_costs_must_be_positive():
    with pytest.raises(ConfigError, match="no logarithm"):
        fit_growth(SIZES, [0.0] * len(SIZES))


def test_costs_that_do_not_decide_an_exponent_get_no_verdict():
    fit = Fit(1.4, 0.5, 0.0, 1.0)
    work = Growth("group", "name", "items", SIZES, lambda size, folder: lambda: None, 1.0, "why")
    assert Grown(work, 1, (1.0,), (1.0,), fit).verdict == "undecided"


class Clock:
    """Time that only work moves."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def __call__(self):
        return self.now

    def prepare(self, size, folder):
        assert folder.is_dir()
        assert not list(folder.iterdir())

        def work():
            self.order.append(size)
            # Whoever comes while the machine is busy pays ten times as much: in the first round, everyone.
            self.now += (0.1 + size**2 / 1e6) * (10 if len(self.order) <= len(SIZES) else 1)

        return work


def test_measuring_takes_the_least_of_rounds_in_orders_that_differ():
    clock = Clock()
    work = Growth("group", "name", "items", SIZES, clock.prepare, 2.0, "why")
    grown = measure_growth(work, repeats=3, clock=clock)
    assert grown.costs == pytest.approx([0.1 + size**2 / 1e6 for size in SIZES])
    assert grown.fit.exponent == pytest.approx(2, abs=1e-3)
    rounds = [clock.order[start : start + len(SIZES)] for start in range(0, len(clock.order), len(SIZES))]
    assert [sorted(each) for each in rounds] == [sorted(SIZES)] * 3
    assert rounds[0] != rounds[1] != rounds[2]
    assert "| n^2.00 ± 0.00 | n^2: why | as predicted | 100 ms |" in growth_rows([grown])[-1]


def test_short_work_is_repeated_and_its_mean_taken():
    now = [0.0]

    def prepare(size, folder):
        def work():
            now[0] += 1e-4

        return work

    work = Growth("group", "name", "items", SIZES, prepare, 0.0, "why")
    grown = measure_growth(work, repeats=1, clock=lambda: now[0])
    assert grown.costs == pytest.approx([1e-4] * len(SIZES))
    assert now[0] == pytest.approx(len(SIZES) * growth.SMALLEST_SECONDS, rel=0.05)


def test_memory_is_the_peak_of_what_is_allocated():
    def prepare(size, folder):
        return lambda: len(bytearray(size * 100))

    work = Growth("group", "name", "items", SIZES, prepare, 1.0, "why", "bytes")
    grown = measure_growth(work, repeats=1)
    assert grown.costs[-1] == pytest.approx(SIZES[-1] * 100, rel=0.01)
    assert grown.fit.exponent == pytest.approx(1, abs=0.02)  # an object's head is its overhead
    assert grown.verdict == "as predicted"
    assert "10 MB" in growth_rows([grown])[-1]
