"""Sweeps: a table that is the same however often the sweep was interrupted, and divergence as a result."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from a1_basics.run import ablations, batch_size, divergence, learning_rate, scaling_audit
from a1_basics.studies import Study
from a1_basics.training import sweep
from a1_basics.training.step import language_model_step
from a1_basics.training.sweep import Member, job_of, run_sweep
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.errors import ConfigError, Preempted
from shared.store.artifacts import Store
from shared.store.kinds import read_runs
from tests.units.a1_basics.byte_shards import VOCAB_SIZE, save_byte_shards

MODEL = ModelConfig(VOCAB_SIZE, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)


@pytest.fixture
def study(tmp_path):
    store = Store(tmp_path / "artifacts")
    save_byte_shards(store, "bytes", b"abcdefgh" * 40)
    return Study(
        "sweep",
        MODEL,
        "bytes",
        steps=8,
        batch_size=4,
        warmup_steps=1,
        precision="float32",
        device="cpu",
        store=store.root,
        runs=tmp_path / "runs",
    )


def at_rates(study: Study, *rates: float, **parts) -> list[Member]:
    jobs = [job_of(study, max_learning_rate=rate, min_learning_rate=rate) for rate in rates]
    return [
        Member(f"rate {rate:g}", job, {"max_learning_rate": rate}, **parts)
        for rate, job in zip(rates, jobs, strict=True)
    ]


stops: list[int] = []


def stopping_step(parts, job, attend, dtype):
    """The step of every run here, stopped like a pre-empted job as often as `stops` says."""
    step = language_model_step(parts, job, attend, dtype)

    def stopped(state, batch):
        if stops and state.steps_done == stops[0]:
            stops.pop(0)
            raise Preempted("asked to stop")
        return step(state, batch)

    return stopped


def test_an_interrupted_sweep_gives_the_same_table(study, tmp_path):
    whole = run_sweep("learning_rate", study, at_rates(study, 1e-3, 1e-2, make_step=stopping_step))
    elsewhere = dataclasses.replace(study, store=tmp_path / "other", runs=tmp_path / "other_runs")
    save_byte_shards(Store(elsewhere.store), "bytes", b"abcdefgh" * 40)
    members = at_rates(elsewhere, 1e-3, 1e-2, make_step=stopping_step)
    stops[:] = [5, 3]
    for _ in range(2):
        with pytest.raises(Preempted):
            run_sweep("learning_rate", elsewhere, members)
    assert run_sweep("learning_rate", elsewhere, members).digest == whole.digest
    assert stops == []


def test_rows_tell_what_was_varied_and_what_came_of_it(study):
    rows, curves = read_runs(run_sweep("learning_rate", study, at_rates(study, 1e-3, 1e-2)))
    slow, fast = rows
    assert (slow["run"], slow["max_learning_rate"], slow["status"]) == ("rate 0.001", 1e-3, "finished")
    assert fast["validation_loss_nats"] < slow["validation_loss_nats"] < math.log(VOCAB_SIZE)
    assert fast["parameters"] == accounting.parameters(MODEL).total
    assert fast["train_tokens"] == 8 * 4 * 8
    assert fast["seconds"] > 0
    first_losses = [curves[row["run"]][0]["loss_nats"] for row in rows]
    assert first_losses[0] == first_losses[1]  # the same weights and the same batch


def test_divergence_is_a_row_and_the_others_still_run(study):
    rows, curves = read_runs(run_sweep("learning_rate", study, at_rates(study, 1e30, 1e-2)))
    wild, tame = rows
    assert wild["status"] == "diverged"
    assert "wanted finite numbers" in wild["reason"]
    assert wild["validation_loss_nats"] == math.inf
    assert curves["rate 1e+30"][-1]["event"] == "diverged"
    assert tame["status"] == "finished"


def test_worse_than_untrained_is_divergence_even_where_all_is_finite(study):
    [row], _ = read_runs(run_sweep("learning_rate", study, at_rates(study, 9.0)))
    assert row["status"] == "diverged"
    assert f"having begun at {row['untrained_loss_nats']:.2f}" in row["reason"]
    assert row["best_validation_loss_nats"] > row["untrained_loss_nats"] + sweep.DIVERGED_RISE_NATS


def test_a_run_that_blew_up_has_diverged_though_its_schedule_brought_it_back(study):
    """Half of its steps at a rate that is too high, then a cosine down to one that learns."""
    back = dataclasses.replace(
        at_rates(study, 3.0)[0].job, steps=64, evaluate_every_steps=4, min_learning_rate=1e-4
    )
    member = dataclasses.replace(at_rates(study, 3.0)[0], job=back)
    [row], curves = read_runs(run_sweep("learning_rate", study, [member]))
    held_out = [each["validation_loss_nats"] for each in curves[row["run"]] if "validation_loss_nats" in each]
    threshold = row["untrained_loss_nats"] + sweep.DIVERGED_RISE_NATS
    assert max(held_out) > threshold > held_out[-1], "the case that this is about"
    assert row["status"] == "diverged"
    assert f"rose to {max(held_out):.2f}" in row["reason"]
    assert row["validation_loss_nats"] == math.inf


def test_a_run_that_has_hardly_learned_has_not_diverged(study):
    """It still lies above ln(vocabulary): fresh weights are no uniform guess."""
    [row], _ = read_runs(
        run_sweep("learning_rate", dataclasses.replace(study, seed=1), at_rates(study, 1e-9))
    )
    assert row["status"] == "finished"
    assert row["validation_loss_nats"] == pytest.approx(row["untrained_loss_nats"], abs=1e-3)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(2.0, False), (6.26, False), (7.2, False), (7.3, True), (math.inf, True), (math.nan, True)],
)
def test_divergence_is_measured_against_the_untrained_model(loss, expected):
    assert sweep.has_diverged(loss, 6.24) is expected


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="not checked: only Linux can forget a peak of memory"
)
def test_the_peak_of_memory_is_that_of_the_run(study):
    """What the second run holds for a moment must show in its row, and in no other's."""
    members = [
        *at_rates(study, 1e-3),
        *at_rates(study, 1e-2, make_step=greedy_step),
        *at_rates(study, 2e-2),
    ]
    before, greedy, after = read_runs(run_sweep("batch_size", study, members))[0]
    assert greedy["peak_memory_bytes"] >= before["peak_memory_bytes"] + 0.9 * GREED_BYTES
    assert after["peak_memory_bytes"] <= greedy["peak_memory_bytes"] - 0.5 * GREED_BYTES
    assert greedy["device_memory_bytes"] > greedy["peak_memory_bytes"]


GREED_BYTES = 256_000_000


def greedy_step(parts, job, attend, dtype):
    step = language_model_step(parts, job, attend, dtype)

    def greedy(state, batch):
        torch.ones(GREED_BYTES // 4)
        return step(state, batch)

    return greedy


def exhausted_step(parts, job, attend, dtype):
    def step(state, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB\nand so on")

    return step


def test_running_out_of_memory_is_a_row(study):
    members = at_rates(study, 1e-2, make_step=exhausted_step)
    [row], curves = read_runs(run_sweep("batch_size", study, members))
    assert (row["status"], row["steps"], row["tokens_per_second"]) == ("out of memory", 0, 0)
    assert row["reason"] == "CUDA out of memory. Tried to allocate 20.00 GiB"
    assert curves["rate 0.01"] == []


def test_a_finished_member_is_not_run_again_in_a_larger_sweep(study, monkeypatch):
    run_sweep("learning_rate", study, at_rates(study, 1e-3, 1e-2))
    ran = []
    real = sweep.run_language_model
    monkeypatch.setattr(
        sweep,
        "run_language_model",
        lambda job, *rest, **more: ran.append(job.name) or real(job, *rest, **more),
    )
    run_sweep("learning_rate", study, at_rates(study, 1e-3, 1e-2))  # found whole
    assert ran == []
    [one, _] = sorted((study.runs / study.name).iterdir())
    (one / "checkpoints" / "step-00000008").mkdir(parents=True)  # killed while it removed them
    larger = dataclasses.replace(study, evaluate_batches=study.evaluate_batches + 1)
    run_sweep("learning_rate", larger, at_rates(study, 1e-3, 3e-3, 1e-2))
    assert ran == ["2/3 rate 0.003"]
    assert not (one / "checkpoints").exists()


def test_shards_that_do_not_fit_are_refused_before_the_first_run(study):
    wrong = dataclasses.replace(study, model=dataclasses.replace(MODEL, vocab_size=100))
    with pytest.raises(ConfigError, match=r"--model.vocab-size 257"):
        run_sweep("learning_rate", wrong, at_rates(wrong, 1e-3))
    assert not study.runs.exists()


EXPERIMENTS = {
    "learning_rate": (learning_rate, learning_rate.LEARNING_RATE),
    "batch_size": (batch_size, batch_size.BATCH_SIZE),
    "ablations": (ablations, ablations.ABLATIONS),
    "divergence": (divergence, divergence.DIVERGENCE),
    "scaling_audit": (scaling_audit, scaling_audit.SCALING_AUDIT),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_to_a_table_and_plans_its_cost(name, study):
    program, presets = EXPERIMENTS[name]
    smaller = {
        field: getattr(study, field) for field in ("model", "shards", "steps", "batch_size", "warmup_steps")
    }
    smaller |= {"precision": "float32", "device": "cpu", "evaluate_batches": 1, "steps": 4}
    places = {"store": study.store, "runs": study.runs}
    config = dataclasses.replace(presets["tiny"], **smaller, **places)
    program.main(config)
    artifact = Store(study.store).open(name, "Runs")
    rows, curves = read_runs(artifact)
    assert artifact.manifest["config"]["experiment"] == name
    assert [row["run"] for row in rows] == [member.name for member in program.members(config)]
    assert all(curves[row["run"]] for row in rows)
    for preset in presets.values():
        preset = preset() if callable(preset) else preset
        plan = program.plan(preset)
        assert plan["runs"] == len(program.members(preset))
        assert plan["train_flops"] > 1e6
        assert "estimated" in plan["H100-class"]


@pytest.mark.parametrize("preset", batch_size.BATCH_SIZE)
def test_batch_sizes_see_the_same_tokens(preset):
    """To the token where sizes divide one another; where the steps must be rounded, to one in a hundred."""
    jobs = [member.job for member in batch_size.members(batch_size.BATCH_SIZE[preset])]
    tokens = [job.batch_size * job.steps for job in jobs]
    slack = 1.01 if preset == "one_gpu" else 1.0
    assert max(tokens) <= slack * min(tokens)
    assert min(job.steps for job in jobs) >= 8  # a "run" of a step or two would compare nothing


def test_the_lab_changes_one_thing_in_each_pair():
    members = divergence.members(divergence.DIVERGENCE["toy"])
    for broken, cured in zip(members[::2], members[1::2], strict=True):
        assert broken.facts["problem"] == cured.facts["problem"]
        assert broken.build is cured.build
        changed = [
            field.name
            for field in dataclasses.fields(broken.job)
            if getattr(broken.job, field.name) != getattr(cured.job, field.name)
        ]
        changed += ["make_step"] if broken.make_step is not cured.make_step else []
        assert set(changed) in (
            {"warmup_steps"},
            {"clip_norm"},
            {"max_learning_rate", "min_learning_rate"},
            {"make_step"},
        )


def ended(status: str, loss: float = math.inf) -> dict:
    return {"status": status, "validation_loss_nats": loss}


@pytest.mark.parametrize(
    ("broken", "cured", "expected"),
    [
        (ended("diverged"), ended("finished", 2.5), "lost"),
        (ended("finished", 5.25), ended("finished", 2.41), "hurt by 2.84 nats"),
        (ended("finished", 2.6), ended("finished", 2.5), "hurt by 0.10 nats"),
        (ended("finished", 5.452), ended("finished", 5.447), "not provoked at this size"),
        (ended("finished", 2.0), ended("finished", 2.5), "not provoked at this size"),  # the cure hurts
        (ended("diverged"), ended("diverged"), "not cured"),
        (ended("finished", 3.0), ended("diverged"), "not cured"),
        (ended("out of memory"), ended("finished", 2.5), "cannot be told"),
        (ended("diverged"), ended("out of memory"), "cannot be told"),
    ],
)
def test_a_pair_of_the_lab_is_judged(broken, cured, expected):
    assert divergence.verdict(broken, cured) == expected


def test_the_lab_provokes_what_it_claims_and_says_so(study):
    """Really trained: a wild rate and float16 without a scale must do harm, and the cure must not."""
    config = divergence.Divergence(
        model=MODEL,
        shards="bytes",
        steps=12,
        batch_size=4,
        warmup_steps=1,
        evaluate_batches=1,
        precision="float32",
        device="cpu",
        store=study.store,
        runs=study.runs,
    )
    wild_and_float16 = divergence.members(config)[4:]
    rows, _ = read_runs(run_sweep("divergence", config, wild_and_float16, divergence.with_verdicts))
    assert [row["problem"] for row in rows[::2]] == ["rate too high", "float16, no loss scale"]
    for broken, cured in zip(rows[::2], rows[1::2], strict=True):
        assert broken["verdict"] == cured["verdict"]
        assert broken["verdict"] == "lost" or broken["verdict"].startswith("hurt by"), broken["problem"]
        assert cured["validation_loss_nats"] < cured["untrained_loss_nats"] - 1
