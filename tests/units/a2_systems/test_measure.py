"""Timer, trace, roofline and sums: what they say of work whose cost is known."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from a2_systems.measure import accumulation, roofline, timer, trace

CPU = torch.device("cpu")


class Clock:
    """A clock that work sets forward."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_warm_ups_do_not_count_and_every_repeat_does():
    clock, costs = Clock(), iter([100.0, 50.0, 1.0, 2.0, 4.0, 5.0])

    def work():
        clock.now += next(costs)

    timing = timer.time_calls(work, device=CPU, warmups=2, repeats=4, clock=clock)
    assert timing.seconds == (1.0, 2.0, 4.0, 5.0)
    assert timing.mean == 3.0
    assert timing.std == pytest.approx(math.sqrt(10 / 3))
    assert (timing.spread.low, timing.spread.median, timing.spread.high) == (1.75, 3.0, 4.25)
    assert timer.Timing((2.0,)).std == 0.0


class Slow(nn.Module):
    """A layer whose forward pass takes 1 second of the clock, its backward pass 2."""

    def __init__(self, clock):
        super().__init__()
        self.layer, self.clock = nn.Linear(3, 3), clock

    def forward(self, x):
        self.clock.now += 1.0
        out = self.layer(x)
        out.register_hook(self._backward)
        return out

    def _backward(self, gradient):
        self.clock.now += 2.0
        return gradient


def test_a_step_is_split_where_its_phases_meet():
    clock, seen = Clock(), []
    model = Slow(clock)

    class Optimizer(torch.optim.SGD):
        def step(self, closure=None):
            clock.now += 0.5
            return super().step(closure)

    before = model.layer.weight.detach().clone()
    batch = torch.randn(2, 4, 3), torch.randn(2, 4, 3)

    def loss_of(out, targets):
        return mse_loss(out.flatten(), targets.flatten())

    timings = timer.time_step(
        model,
        Optimizer(model.parameters(), lr=0.1),
        loss_of,
        batch,
        warmups=1,
        repeats=3,
        clock=clock,
        on_phase=seen.append,
    )
    assert {phase: timing.seconds for phase, timing in timings.items()} == {
        timer.FORWARD: (1.0,) * 3,
        timer.BACKWARD: (2.0,) * 3,
        timer.OPTIMIZER: (0.5,) * 3,
    }
    assert timer.whole(timings).seconds == (3.5,) * 3
    assert seen == [*timer.PHASES] * 4
    assert not torch.equal(before, model.layer.weight)  # real steps were timed
    assert model.layer.weight.grad is None


def test_a_trace_counts_calls_and_names_phases():
    a = torch.randn(64, 64)
    with trace.traced() as found:
        for _ in range(3):
            with trace.phase("products"):
                a @ a
    rows = trace.rows(found)
    products = next(row for row in rows if row.name == "aten::mm")
    assert products.calls == 3
    assert sum(row.share_fraction for row in rows) == pytest.approx(1.0)
    assert [row.self_seconds for row in rows] == sorted((row.self_seconds for row in rows), reverse=True)
    assert set(trace.phases(found)) == {"products"}
    assert trace.phases(found)["products"] >= products.self_seconds
    assert "aten::mm" in trace.table(rows)


def test_the_roof_is_the_lower_of_two():
    peaks = roofline.Peaks(flops_per_second=100.0, bytes_per_second=10.0)
    assert peaks.ridge == 10.0
    narrow = roofline.Operation("narrow", flops=50.0, num_bytes=50.0, seconds=10.0)
    wide = roofline.Operation("wide", flops=2000.0, num_bytes=20.0, seconds=40.0)
    assert (narrow.bound(peaks), wide.bound(peaks)) == ("memory", "arithmetic")
    assert (narrow.fraction(peaks), wide.fraction(peaks)) == (0.5, 0.5)


def test_peaks_and_operations_are_measured():
    peaks = roofline.measured_peaks(CPU, torch.float32, size=64, copy_bytes=2**16)
    operations = roofline.measured_operations(CPU, torch.float32, tokens=16, width=16)
    assert min(peaks.flops_per_second, peaks.bytes_per_second) > 0
    product = next(each for each in operations if each.name == "feed-forward product")
    assert product.flops == 2 * 16 * 16 * 64
    assert product.num_bytes == 4 * (16 * 16 + 16 * 64 + 16 * 64)
    assert all(each.fraction(peaks) > 0 and each.least_seconds(peaks) > 0 for each in operations)


def test_the_copy_of_the_roofline_is_larger_than_the_largest_cache(tmp_path, monkeypatch):
    for number, size in enumerate(("32K", "2048K", "260M")):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert roofline.last_cache_bytes(CPU, tmp_path) == 260 * 2**20
    assert roofline.last_cache_bytes(CPU, tmp_path / "nothing told") == 0
    copied = []
    monkeypatch.setattr(roofline, "last_cache_bytes", lambda device: 40 * 2**20)
    monkeypatch.setattr(
        roofline, "time_calls", lambda work, **_: copied.append(work()) or timer.Timing((1.0,))
    )
    roofline.measured_peaks(CPU, torch.float32, size=8)
    assert copied[1][0].nbytes == 160 * 2**20


def test_the_four_loops_lose_what_their_formats_lose():
    sums = accumulation.the_four_loops()
    term = torch.tensor(accumulation.TERM, dtype=torch.float16).item()
    assert sums["float16 terms, float32 sum"] == sums["float16 terms widened, float32 sum"]
    # what is left is the error of the term itself; 1,000 roundings of a float32 sum are far below it
    assert sums["float16 terms, float32 sum"] == pytest.approx(1000 * term, rel=1e-5)
    assert abs(sums["float16 terms, float16 sum"] - 1000 * term) > 100 * abs(
        sums["float32 terms, float32 sum"] - 10
    )


@pytest.mark.parametrize("dtype", accumulation.FORMATS)
def test_errors_stay_within_the_bounds_of_their_kind_of_sum(dtype):
    terms = torch.rand(2**11, generator=torch.Generator().manual_seed(0))
    unit = torch.finfo(dtype).eps / 2
    one_by_one, in_pairs = accumulation.running_error(terms, dtype), accumulation.pairwise_error(terms, dtype)
    assert one_by_one[0] == in_pairs[0] == 0.0
    for power, (first, second) in enumerate(zip(one_by_one, in_pairs, strict=True)):
        assert first <= (2**power - 1) * unit * (1 + 2**power * unit)
        assert second <= 1.01 * power * unit
    assert max(in_pairs) < max(one_by_one)  # one length alone may be lucky
