"""The program that trains on several ranks: one training whatever their number, also when it changes on the way."""

import dataclasses
import os
import random
import signal
import threading

import pytest
import torch

from a2_systems.configs import TRAIN_PARALLEL
from a2_systems.parallel import train as by_ranks
from a2_systems.parallel.training import SpreadState
from a2_systems.run.train_parallel import plan
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.doors.systems import ParallelJob
from shared.errors import ConfigError, Preempted
from shared.runs import runner
from shared.runs.runlog import VALIDATION_LOSS
from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_run_log
from tests.harness.ranks import on_ranks
from tests.units.a1_basics.byte_shards import VOCAB_SIZE, save_byte_shards

MODEL = ModelConfig(VOCAB_SIZE, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)
# float32 sums in another order, through twelve steps; a rank that reads another's rows is off by 0.1 and more.
CLOSE = {"rel": 1e-4}


@pytest.fixture
def job(tmp_path):
    store = Store(tmp_path / "artifacts")
    save_byte_shards(store, "bytes", bytes(range(97, 123)) * 40)
    return ParallelJob(
        MODEL,
        "bytes",
        name="spread",
        steps=12,
        batch_size=12,
        max_learning_rate=1e-2,
        warmup_steps=2,
        precision="float32",
        device="cpu",
        evaluate_every_steps=6,
        evaluate_batches=2,
        checkpoint_every_steps=4,
        strategy="single",
        store=store.root,
        runs=tmp_path / "runs",
    )


def train(job):
    """On every rank; forks bring home plain values alone."""
    found = by_ranks.train_parallel(job)
    return found and [found.checkpoint, found.held_bytes]


def losses(job):
    _, records = read_run_log(Store(job.store).open(job.name, "RunLog"))
    return [(r["step"], key, r[key]) for r in records for key in ("loss_nats", VALIDATION_LOSS) if key in r]


def expect_same_losses(found, wanted):
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    assert [each[2] for each in found] == pytest.approx([each[2] for each in wanted], **CLOSE)


def alone(job):
    job = dataclasses.replace(job, strategy="single", name="alone")
    on_ranks(1, lambda rank: train(job))
    return losses(job)


@pytest.mark.parametrize(
    ("strategy", "num_ranks", "microbatches"),
    [("bucketed", 2, 1), ("zero1", 3, 2), ("fsdp", 2, 3), ("fsdp", 4, 1), ("tensor", 2, 4)],
)
def test_losses_are_those_of_one_rank(job, strategy, num_ranks, microbatches):
    spread = dataclasses.replace(job, strategy=strategy, microbatches=microbatches)
    on_ranks(num_ranks, lambda rank: train(spread))
    expect_same_losses(losses(spread), alone(job))
    store = Store(job.store)
    shape, weights = read_checkpoint(store.open("spread", "Checkpoint"))
    assert shape == MODEL
    _, wanted = read_checkpoint(store.open("alone", "Checkpoint"))
    assert weights.keys() == wanted.keys()


@pytest.mark.parametrize("strategy", ["fsdp", "pipeline"])
def test_a_run_on_three_ranks_goes_on_with_two(job, strategy):
    """Stopped by a signal that one rank hears, it saves whole; other ranks take up other parts of it."""
    if strategy == "pipeline":
        job = dataclasses.replace(job, model=dataclasses.replace(MODEL, num_layers=3), microbatches=2)
    spread = dataclasses.replace(job, strategy=strategy)
    take_step = runner._Loop._one_step

    def stopped(rank):
        def one_step(loop):
            take_step(loop)
            if loop.step == 7 and rank == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        runner._Loop._one_step = one_step
        with pytest.raises(Preempted):
            train(spread)

    on_ranks(3, stopped)
    assert "spread" not in Store(job.store).names("Checkpoint")
    on_ranks(2, lambda rank: train(spread))
    expect_same_losses(losses(spread), alone(job))


def test_no_rank_leaves_before_what_it_helped_to_save_is_there(job):
    """A launcher ends the ranks that are left when the first has gone, and rank 0 may still be writing."""
    spread = dataclasses.replace(job, strategy="fsdp")
    take_step, save = runner._Loop._one_step, SpreadState.save

    def one_step(loop):
        take_step(loop)
        if loop.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    def slow_save(state, directory):
        threading.Event().wait(0.5)  # so that who does not wait for it is certainly too early
        save(state, directory)

    def stopped(rank):
        runner._Loop._one_step, SpreadState.save = one_step, slow_save
        with pytest.raises(Preempted):
            train(spread)
        return [path.parent.name for path in job.runs.glob("*/checkpoints/*/state.json")]

    first, second = on_ranks(2, stopped)
    assert len(first) == 2, "of steps 4 and 7"
    assert sorted(second) == sorted(first)


def test_ranks_draw_the_same_batch_from_whatever_generator(job):
    """A learner's get_batch may draw from Python's own generator, which stands elsewhere on every rank."""
    spread = dataclasses.replace(job, strategy="naive", steps=4)

    def get_batch(dataset, batch_size, context_length, device):
        starts = [random.randrange(len(dataset) - context_length) for _ in range(batch_size)]
        rows = torch.stack([torch.tensor(dataset[i : i + context_length + 1].tolist()) for i in starts])
        return rows[:, :-1], rows[:, 1:]

    def trains(rank, one, seed):
        random.seed(seed)
        door("a1_basics").run_get_batch = get_batch  # in this fork alone
        train(one)

    on_ranks(2, lambda rank: trains(rank, spread, rank))
    single = dataclasses.replace(spread, strategy="single", name="alone")
    on_ranks(1, lambda rank: trains(rank, single, 7))
    expect_same_losses(losses(spread), losses(single))


def test_a_finished_run_is_recognised_by_all_ranks(job, capfd):
    spread = dataclasses.replace(job, strategy="overlap")
    on_ranks(2, lambda rank: train(spread))
    first = Store(job.store).open("spread", "Checkpoint").digest
    on_ranks(2, lambda rank: train(spread))
    assert capfd.readouterr().out.count("unchanged:") == 1
    assert Store(job.store).open("spread", "Checkpoint").digest == first


def test_a_batch_that_ranks_cannot_share_is_refused(job):
    spread = dataclasses.replace(job, strategy="naive", batch_size=7)

    def refused(rank):
        with pytest.raises(
            ConfigError, match="2 ranks in 1 microbatches want a multiple of 2; use --batch-size 6"
        ):
            train(spread)

    on_ranks(2, refused)


def test_every_rank_tells_the_peak_of_a_step(job):
    """It is more than what is kept between steps; matrices that are whole for a while are in it, and gone again."""
    peaks = {}
    for strategy in ("bucketed", "fsdp"):
        spread = dataclasses.replace(job, strategy=strategy, name=strategy, steps=2)
        found = [each for each in on_ranks(2, lambda rank, spread=spread: told(spread)) if each]
        held, peaks[strategy] = found[0]
        for kinds, peak in zip(held, peaks[strategy], strict=True):
            assert peak > kinds[0] + kinds[2]
    weights = 4 * accounting.parameters(MODEL).total
    for whole, shared in zip(peaks["bucketed"], peaks["fsdp"], strict=True):
        assert (
            weights < whole - shared < 3 * weights
        )  # of weights and moments half, of gradients and buckets more


def told(job):
    found = by_ranks.train_parallel(job)
    return found and [found.held_bytes, found.peak_bytes]


def test_the_plan_tells_what_each_of_several_cards_holds_and_how_long_they_take():
    preset = TRAIN_PARALLEL["gpt2_124m"]
    plans = {
        name: plan(dataclasses.replace(preset, strategy=name, microbatches=32))
        for name in ("bucketed", "zero1", "fsdp")
    }
    for found in plans.values():
        assert found["parameters"] == accounting.parameters(preset.model).total
        assert found["train_tokens"] == pytest.approx(1e10, rel=0.01)
        for ranks in (2, 4, 8):
            assert found[f"{ranks}_h100s_expected_seconds"] == found["h100_expected_seconds"] / ranks
    of_eight = [found["each_of_8_h100s_memory_bytes"] for found in plans.values()]
    moments, weights = (kinds * 4 * found["parameters"] for kinds in (2, 2))  # with their gradients
    assert of_eight[0] - of_eight[1] == pytest.approx(moments * 7 / 8)
    assert of_eight[1] - of_eight[2] == pytest.approx(weights * 7 / 8)
    assert (
        len({found["h100_memory_bytes"] for found in plans.values()}) == 1
    )  # one card has nobody to share with
    assert "give more --microbatches" in plan(preset)["h100_memory_bytes"]
    assert plan(preset)["each_of_8_h100s_memory_bytes"] < 80e9
    assert "h100_memory_bytes" not in plan(dataclasses.replace(preset, strategy="tensor"))
