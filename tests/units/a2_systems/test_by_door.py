"""Training over ranks with what somebody else wrote: it is used, and it is the same training."""

import dataclasses
import os
import signal
from collections import Counter

import pytest
import torch

from a2_systems import adapters
from a2_systems.kernels.attend import best_attention
from a2_systems.parallel.by_door import SpreadByDoor, attention_for, spread_by
from a2_systems.parallel.parallelize import OnOneRank
from shared.doors.resolve import door
from shared.doors.systems import Strategy
from shared.errors import ConfigError, Preempted
from shared.runs import runner
from tests.alternatives.a2_systems import (
    flash_one_sequence_at_a_time,
    replicas_send_copies,
    sharded_round_robin_by_size,
)
from tests.harness.ranks import on_ranks
from tests.units.a2_systems.test_train_parallel import alone, expect_same_losses, job, losses, train

__all__ = ["job"]  # a fixture

SOLUTIONS = "".join(
    f"from {module.__name__} import *\n"
    for module in (replicas_send_copies, sharded_round_robin_by_size, flash_one_sequence_at_a_time)
)
PARTS = {
    "average": replicas_send_copies.Copies,
    "step": sharded_round_robin_by_size.Sharded,
    "forward": flash_one_sequence_at_a_time.Flash,
}


class Slot(torch.nn.Module):
    """A model that takes an `attend`."""

    def forward(self, token_ids, attend=None):
        return token_ids


@pytest.fixture
def solved(job, tmp_path):
    """A job whose implementation has stage 2's graded functions, and no hook."""
    folder = tmp_path / "somebody"
    folder.mkdir()
    (folder / "adapters.py").write_text(SOLUTIONS)
    return dataclasses.replace(job, impl=str(folder / "adapters.py"), steps=4, checkpoint_every_steps=2)


def count_calls():
    """How often each of the parts is used from now on, in this process."""
    calls = Counter()

    def counted(name, function):
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    for name, owner in PARTS.items():
        is_static = isinstance(vars(owner)[name], staticmethod)
        call = counted(name, getattr(owner, name))
        setattr(owner, name, staticmethod(call) if is_static else call)
    return calls


@pytest.mark.parametrize(
    ("strategy", "microbatches", "used"),
    [
        ("overlap", 1, {"average": 4}),
        ("bucketed", 3, {"average": 12}),
        ("zero1", 1, {"average": 4, "step": 4}),
    ],
)
def test_solutions_train_as_one_rank_does(solved, strategy, microbatches, used):
    spread = dataclasses.replace(solved, strategy=strategy, microbatches=microbatches)

    def counting(rank):
        calls = count_calls()
        train(spread)
        return dict(calls)

    for calls in on_ranks(2, counting):
        assert calls == used | {"forward": 4 * microbatches}  # of one layer
    expect_same_losses(losses(spread), alone(dataclasses.replace(solved, impl="reference")))


def test_a_sharded_optimizer_goes_on_with_as_many_ranks_and_with_no_others(solved):
    spread = dataclasses.replace(solved, strategy="zero1")
    take_step = runner._Loop._one_step

    def stopped(rank):
        def one_step(loop):
            take_step(loop)
            if loop.step == 3 and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)

        runner._Loop._one_step = one_step
        with pytest.raises(Preempted):
            train(spread)

    on_ranks(2, stopped)

    def refused(rank):
        with pytest.raises(ConfigError, match=r"saved on 2 ranks .* there are 3: go on with --ranks 2"):
            train(spread)

    on_ranks(3, refused)
    on_ranks(2, lambda rank: train(spread))
    expect_same_losses(losses(spread), alone(dataclasses.replace(solved, impl="reference")))


def test_a_hook_that_somebody_wrote_goes_before_their_parts(tmp_path):
    hooks = """
from a2_systems.parallel.parallelize import OnOneRank


def parallelize(model, optimizer, strategy):
    return OnOneRank(model, optimizer)


def attention_kernel():
    return max
"""
    (tmp_path / "adapters.py").write_text(SOLUTIONS + hooks)
    systems = door("a2_systems", str(tmp_path / "adapters.py"))
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert isinstance(spread_by(systems, model, optimizer, Strategy("overlap")), OnOneRank)
    assert attention_for(systems, Slot(), torch.device("cpu")) is max
    assert attention_for(systems, model, torch.device("cpu")) is None


def test_what_is_missing_is_the_references(tmp_path):
    (tmp_path / "adapters.py").write_text("")
    systems = door("a2_systems", str(tmp_path / "adapters.py"))
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert not isinstance(spread_by(systems, model, optimizer, Strategy("single")), SpreadByDoor)
    assert attention_for(systems, Slot(), torch.device("cpu")) is best_attention


def test_shared_heads_and_mixed_precision_reach_the_solution_as_it_wants_them(solved):
    attend = attention_for(door("a2_systems", solved.impl), Slot(), torch.device("cpu"))
    queries = torch.randn(2, 4, 5, 8)
    keys, values = torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8, dtype=torch.bfloat16)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values.float(), is_causal=True, enable_gqa=True
    )
    out = attend(0, queries, keys, values)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), wanted, atol=3e-2, rtol=3e-2)  # keys rounded to 8 bits


def test_the_kernel_of_the_door_is_what_runs(job, monkeypatch):
    """On a GPU that is Triton's; on a CPU torch's, as the model would take by itself."""
    spread = dataclasses.replace(job, strategy="bucketed", steps=4, checkpoint_every_steps=0)

    def counting(rank):
        calls = []

        def counted(layer, *heads):
            calls.append(layer)
            return best_attention(layer, *heads)

        monkeypatch.setattr(adapters, "best_attention", counted)
        train(spread)
        return calls

    assert on_ranks(2, counting) == [[0] * 4] * 2
    expect_same_losses(losses(spread), alone(dataclasses.replace(spread, strategy="single")))
