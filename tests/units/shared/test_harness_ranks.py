"""Ranks of a test: they meet, talk, fail and hang, and the test learns which one and why."""

import os
import re
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.harness import ranks, waiting
from tests.harness.explain import Lesson, expect
from tests.harness.ranks import Collectives, RankFailed, on_ranks
from tests.harness.traps import ForbiddenCall


def test_every_rank_returns_its_own_result():
    def gathered(rank: int) -> dict[str, object]:
        total = torch.tensor([float(rank)])
        dist.all_reduce(total)
        return {"rank": rank, "sum": total, "world": int(os.environ["WORLD_SIZE"])}

    for num_ranks in (1, 2, 3):
        found = on_ranks(num_ranks, gathered)
        assert [each["rank"] for each in found] == list(range(num_ranks))
        assert all(each["sum"].item() == sum(range(num_ranks)) for each in found)
        assert {each["world"] for each in found} == {num_ranks}


def test_a_rank_that_raises_ends_all_and_is_named():
    def one_fails(rank: int) -> None:
        if rank == 1:
            raise ValueError("no such weight")
        dist.barrier()

    began = time.monotonic()
    with pytest.raises(RankFailed, match=r"rank 1 raised ValueError: no such weight .*test_harness_ranks"):
        on_ranks(3, one_fails)
    assert time.monotonic() - began < ranks.WAIT_SECONDS / 2, "the others were waited for"


def test_a_collective_that_one_rank_leaves_out_is_a_lesson():
    def one_leaves(rank: int) -> None:
        if rank != 1:
            dist.barrier()

    with pytest.raises(Lesson) as caught:
        on_ranks(3, one_leaves, wait_seconds=1.0)
    here = r"in barrier, called at tests/units/shared/test_harness_ranks.py:\d+ in one_leaves"
    rank_0, rank_2 = caught.value.counterexample.splitlines()
    assert re.fullmatch(f"rank 0 of 3 still runs or waits {here}", rank_0)
    assert re.fullmatch(f"rank 2 of 3 still runs or waits {here}", rank_2)


def test_ranks_that_all_sleep_are_not_waited_for(monkeypatch):
    """Long before the time is up; a rank that computes on meanwhile is at work, and so are all who wait for it."""
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(ranks, "LOOK_SECONDS", 0.05)
    if not Path("/proc/self/task").exists():
        pytest.skip("not checked: this system does not tell who sleeps")

    def all_wait(rank: int) -> None:
        dist.recv(torch.ones(1), src=1 - rank)

    with pytest.raises(Lesson, match=r"rank 0 of 2 waits in recv, called at .* in all_wait"):
        on_ranks(2, all_wait, wait_seconds=600.0)

    def one_works(rank: int) -> int:
        until = time.process_time() + 1.0
        while rank == 0 and time.process_time() < until:
            pass
        dist.barrier()
        return rank

    assert on_ranks(2, one_works, wait_seconds=600.0) == [0, 1]


def test_a_failed_check_in_a_rank_stays_a_lesson():
    def checks(rank: int) -> None:
        expect(rank == 0, what="ranks are zero", why="for the sake of it", case="small")

    with pytest.raises(Lesson, match="ranks are zero") as caught:
        on_ranks(2, checks)
    assert caught.value.case == "rank 1; small"


@pytest.mark.parametrize("leave", [lambda: os._exit(0), lambda: os.kill(os.getpid(), 9)])
def test_a_rank_that_vanishes_is_named(leave):
    with pytest.raises(RankFailed, match="rank 0 ended without a word"):
        on_ranks(1, lambda rank: leave())


def test_results_come_home_as_data():
    class Liar:
        def __reduce__(self) -> tuple[object, ...]:
            return print, ("run in the parent",)

    with pytest.raises(RankFailed, match="other than tensors and plain values"):
        on_ranks(1, lambda rank: Liar())


def test_what_ranks_recorded_is_added_to_the_parents_records(monkeypatch):
    hits = [{"name": "before"}]
    monkeypatch.setattr(ranks, "RECORDS", [hits])

    def falls_in(rank: int) -> None:
        hits.append({"name": "softmax"})
        raise ForbiddenCall("softmax is what this problem asks you to build")

    with pytest.raises(ForbiddenCall, match="rank 0 raised ForbiddenCall: softmax"):
        on_ranks(1, falls_in)
    assert hits == [{"name": "before"}, {"name": "softmax"}]


def test_no_rank_outlives_its_test():
    def says(rank: int) -> int:
        return os.getpid()

    for pid in on_ranks(2, says):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_collectives_are_seen_by_any_name_with_bytes_and_order():
    def talks(rank: int) -> list[tuple[str, int]]:
        weight = torch.nn.Parameter(torch.ones(3))

        def reduce(parameter: torch.nn.Parameter) -> None:
            dist.all_reduce(parameter.grad, async_op=True).wait()

        weight.register_post_accumulate_grad_hook(reduce)
        with Collectives() as log:
            (2 * weight).sum().backward()
            log.mark("backward returned")
            dist.broadcast(torch.ones(5, dtype=torch.float64), 0)
            dist.all_gather([torch.empty(2) for _ in range(2)], torch.ones(2))
        assert log.count("allreduce") == 1
        assert log.sent_bytes("broadcast") == 40
        return [list(call) for call in log.calls]

    wanted = [["allreduce", 12], ["backward returned", 0], ["broadcast", 40], ["allgather", 16]]
    assert on_ranks(2, talks) == [wanted, wanted]
