"""The one training loop on several ranks: one writer, one place to resume from, one step to stop at."""

import json
import os
import signal
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from shared.errors import ConfigError, Preempted
from shared.runs import ranks as ranks_module
from shared.runs.ranks import Ranks, current, joined
from shared.runs.runlog import comparable, read_log
from shared.runs.runner import Cadence, run
from tests.harness.ranks import on_ranks


class Spread:
    """A vector of which every rank holds one number; a step adds the mean over the ranks of what each draws."""

    def __init__(self, rank: int, num_ranks: int):
        self.rank, self.num_ranks = rank, num_ranks
        self.mine = torch.zeros(1, dtype=torch.float64)

    def whole(self) -> torch.Tensor:
        if self.num_ranks == 1:
            return self.mine
        parts = [torch.empty_like(self.mine) for _ in range(self.num_ranks)]
        dist.all_gather(parts, self.mine)
        return torch.cat(parts)

    def save(self, directory: Path) -> None:
        (directory / "whole.json").write_text(json.dumps(self.whole().tolist()))

    def help_save(self) -> None:
        self.whole()

    def load(self, directory: Path) -> None:
        self.mine[0] = json.loads((directory / "whole.json").read_text())[self.rank]


def step(state, batch):
    drawn = torch.tensor([float(batch + state.rank)], dtype=torch.float64)
    state.mine += drawn
    loss = drawn.clone()
    if state.num_ranks > 1:
        dist.all_reduce(loss)
    return state, {"loss_nats": loss.item() / state.num_ranks}


def train(rank, num_ranks, run_dir, *, num_steps=6, at=lambda rank, step: None, **more):
    def watched(state, batch):
        at(rank, batch)
        return step(state, batch)

    result = run(
        run_dir=run_dir,
        state=Spread(rank, num_ranks),
        step=watched,
        batches=lambda number: number,
        num_steps=num_steps,
        every=Cadence(log_steps=1, evaluate_steps=0, checkpoint_steps=2),
        guard=None,
        progress=False,
        **more,
    )
    return {"whole": result.state.whole(), "resumed": result.resumed_step}


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_every_rank_ends_with_the_same_state_and_one_log_is_written(tmp_path, num_ranks):
    found = on_ranks(num_ranks, train, num_ranks, tmp_path)
    wanted = torch.tensor([15.0 + 6 * rank for rank in range(num_ranks)], dtype=torch.float64)
    assert all(torch.equal(each["whole"], wanted) for each in found)
    records = read_log(tmp_path / "log.jsonl")
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["loss_nats"] for record in records] == [n + (num_ranks - 1) / 2 for n in range(6)]


def test_a_run_that_one_rank_broke_resumes_to_the_same_bits(tmp_path):
    def breaks(rank, number):
        if (rank, number) == (1, 4):
            raise OSError("a cable")

    whole = on_ranks(2, train, 2, tmp_path / "whole")
    with pytest.raises(AssertionError, match="rank 1 raised OSError: a cable"):
        on_ranks(2, lambda rank: train(rank, 2, tmp_path / "broken", at=breaks))
    resumed = on_ranks(2, train, 2, tmp_path / "broken")
    assert [each["resumed"] for each in resumed] == [4, 4]
    assert all(torch.equal(a["whole"], b["whole"]) for a, b in zip(whole, resumed, strict=True))
    logs = [comparable(read_log(tmp_path / name / "log.jsonl")) for name in ("whole", "broken")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("hears", [0, 1])
def test_a_signal_that_one_rank_hears_stops_all_at_the_same_step(tmp_path, hears):
    def signalled(rank, number):
        if (rank, number) == (hears, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    def stopped(rank):
        with pytest.raises(Preempted) as caught:
            train(rank, 2, tmp_path, at=signalled)
        return str(caught.value)

    said = on_ranks(2, stopped)
    assert all("step 3 of 6 is saved" in words for words in said)
    assert [each["resumed"] for each in on_ranks(2, train, 2, tmp_path)] == [3, 3]


def test_all_ranks_pass_over_the_checkpoint_that_rank_0_finds_damaged(tmp_path):
    on_ranks(2, lambda rank: train(rank, 2, tmp_path, num_steps=4))
    (tmp_path / "checkpoints" / "step-00000004" / "whole.json").write_text("[0, 0, 0, 0]")
    found = on_ranks(2, train_with_warnings, tmp_path)
    assert [each["resumed"] for each in found] == [2, 2]
    assert "passing over a damaged checkpoint" in found[0]["said"][0]


def train_with_warnings(rank, run_dir):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = train(rank, 2, run_dir)
    return found | {"said": [str(each.message) for each in said]}


def test_alone_there_is_no_group_and_nothing_is_sent(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as here:
        assert here == Ranks(0, 1) == current()
        assert here.is_lead
        assert here.largest(7) == 7
        assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "two"}, "no number"),
    ],
)
def test_an_environment_that_no_launcher_makes_is_refused(monkeypatch, environment, words):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=words), joined():
        pass


def test_the_largest_of_all_numbers_is_agreed_on():
    assert on_ranks(3, lambda rank: current().largest(10 * rank)) == [20, 20, 20]
    assert on_ranks(2, lambda rank: ranks_module.current().is_lead) == [True, False]
