"""The section on batch sizes: curves over tokens, losses at equal time, and where memory ends."""

import pytest

from shared.report import batch_sizes
from shared.runs.runlog import VALIDATION_LOSS

GB = 1e9


def run(batch_tokens: int, **facts):
    common = {"run": f"batch {batch_tokens}", "rule": "one rate", "status": "finished", "seconds": 6.0}
    measured = {"peak_memory_bytes": 0.4 * GB + 1e4 * batch_tokens, "device_memory_bytes": 8 * GB}
    return {**common, "batch_tokens": batch_tokens, "validation_loss_nats": 3.0, **measured, **facts}


def log(*losses: float, seconds_per_step: float):
    """A training record and an evaluation after every step."""
    records = []
    for step, loss in enumerate(losses, 1):
        records += [
            {"step": step, "loss_nats": loss, "elapsed_seconds": step * seconds_per_step},
            {"step": step, VALIDATION_LOSS: loss},
        ]
    return records


def test_curves_advance_by_the_tokens_of_a_batch():
    rows = [run(64), run(16)]
    curves = {"batch 16": log(4, 3, 2, seconds_per_step=1), "batch 64": log(5, seconds_per_step=1)}
    small, large = batch_sizes.ways_there(rows, curves)
    assert (small.label, list(small.x), list(small.y)) == ("16", [16, 32, 48], [4, 3, 2])
    assert (large.label, list(large.x)) == ("64", [64])


@pytest.mark.parametrize(("seconds", "loss"), [(0.5, None), (1.0, 4.0), (2.9, 3.0), (99.0, 2.0)])
def test_loss_at_a_time_is_the_last_one_before_it(seconds, loss):
    assert batch_sizes.loss_after(log(4.0, 3.0, 2.0, seconds_per_step=1.0), seconds) == loss


def test_losses_are_compared_at_the_end_of_the_fastest():
    rows = [run(16, seconds=9.0), run(64, seconds=2.0)]
    curves = {"batch 16": log(4, 3.5, 2, seconds_per_step=1.0), "batch 64": log(3.25, seconds_per_step=2.0)}
    costs = batch_sizes.measured_costs(rows, curves)
    assert [costs[f"batch_size-at-{place}-nats"] for place in (0, 1)] == ["3.500", "3.250"]


def test_the_memory_limit_is_where_the_line_meets_the_device():
    flat = [
        run(4, peak_memory_bytes=0.4 * GB),
        run(8, peak_memory_bytes=0.4 * GB),
    ]  # hidden by what Python holds
    said = batch_sizes.memory_limit([*flat, run(10_000), run(20_000), run(40_000)])
    assert "about 760k tokens" in said  # (8 - 0.4) GB at 10 kB a token
    assert "10 kB a token" in said
    assert batch_sizes.memory_limit(flat) == ""
    assert batch_sizes.memory_limit([run(10_000), run(20_000, status="out of memory")]) == ""
