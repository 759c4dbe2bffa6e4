"""What a --dry-run says that a run costs: one estimate for all programs, set by the one public figure there is."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_basics.configs import MEASURED, TRAIN_LM
from a1_basics.run import (
    ablations,
    batch_size,
    cost_table,
    divergence,
    ladder,
    learning_rate,
    scaling_audit,
    tokenizer_sweep,
    train_lm,
)
from shared import accounting
from shared.costs import MACHINES, US_PRICES, Machine, Work, estimate
from shared.runs.config import preset

PLANS: Mapping[str, Any] = {
    "train_lm": train_lm.plan,
    "learning_rate": learning_rate.plan,
    "batch_size": batch_size.plan,
    "ablations": ablations.plan,
    "divergence": divergence.plan,
    "scaling_audit": scaling_audit.plan,
    "ladder": ladder.plan,
    "tokenizer_sweep": tokenizer_sweep.plan,
}
CPU, ONE_GPU, H100 = MACHINES
EVERY_PRESET = [(name, size) for name, each in cost_table.EXPERIMENTS.items() for size in each.presets]
machines = st.sampled_from(MACHINES)
works = st.builds(
    Work,
    memory_bytes=st.just(1e9),
    flops=st.floats(1e9, 1e20),
    steps=st.integers(1, 10_000),
    microbatches=st.integers(1, 64),
    width=st.integers(16, 16_384),
    num_layers=st.integers(1, 96),
)


def test_the_public_run_takes_an_h100_the_public_time():
    """327,680,000 tokens at width 512: 30 to 40 minutes on one H100. Source: [cs336-2025] section 7."""
    job = preset(TRAIN_LM, "one_gpu")
    assert job.train_tokens == 327_680_000
    assert 30 * 60 <= accounting.training_work(job).seconds(H100) <= 40 * 60


def test_a_narrow_model_keeps_a_card_waiting_and_a_wide_one_does_not():
    assert H100.flops_per_second(256) == pytest.approx(H100.flops_per_second(512) / 2)
    assert H100.flops_per_second(32_768) == H100.flops_per_second(16_384)


def test_no_model_is_counted_faster_than_cards_have_been_seen_to_train():
    """At most 43 per cent of 989 TFLOP/s, which Llama 3 reports for matrices of width 16,384 on many H100."""
    assert H100.flops_per_second(16_384) <= 0.43 * 989e12
    for size in TRAIN_LM:
        work = accounting.training_work(preset(TRAIN_LM, size))
        assert work.flops / work.seconds(H100) <= 0.43 * 989e12


@given(work=works, machine=machines, factor=st.integers(2, 8))
def test_narrow_models_small_steps_and_microbatches_are_slower_never_faster(
    work: Work, machine: Machine, factor: int
):
    seconds = work.seconds(machine)
    wider = dataclasses.replace(work, width=work.width * factor)
    assert wider.seconds(machine) <= seconds
    in_pieces = dataclasses.replace(work, microbatches=work.microbatches * factor)
    more_steps = dataclasses.replace(work, steps=work.steps * factor)
    assert in_pieces.seconds(machine) == pytest.approx(more_steps.seconds(machine), rel=1e-12)  # rounding
    starting = dataclasses.replace(work, flops=0.0).seconds(machine)
    assert in_pieces.seconds(machine) == pytest.approx(seconds + (factor - 1) * starting, rel=1e-12)


def test_cores_share_as_many_tasks_as_there_are():
    work = Work(memory_bytes=0.0, core_seconds=60.0, tasks=6)
    assert [work.seconds(machine) for machine in MACHINES] == [30.0, 10.0, 10.0]


def test_two_steps_of_half_a_batch_cost_more_than_one_of_a_whole():
    whole = preset(TRAIN_LM, "one_gpu")
    halves = dataclasses.replace(whole, batch_size=whole.batch_size // 2, steps=whole.steps * 2)
    quick, slow = (accounting.training_work(job).seconds(H100) for job in (whole, halves))
    assert quick < slow


@pytest.mark.parametrize(("name", "size"), EVERY_PRESET)
def test_every_plan_names_every_machine_and_follows_the_prices(name, size):
    config = preset(cost_table.EXPERIMENTS[name].presets, size)
    dear = dataclasses.replace(US_PRICES, cpu_per_hour=1e6, one_gpu_per_hour=1e6, h100_per_hour=1e6)
    plan, more = (PLANS[name](each) for each in (config, dataclasses.replace(config, prices=dear)))
    for machine in MACHINES:
        found = estimate(cost_table.EXPERIMENTS[name].work_of(config), machine, dear)
        assert plan[machine.label] != more[machine.label]
        if "measured" not in more[machine.label]:
            assert more[machine.label] == str(found)
    assert "expected_seconds" not in plan  # one estimate, not two


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in MEASURED for size in MEASURED[name]])
def test_only_the_very_preset_that_was_run_is_called_measured(name, size):
    config = preset(cost_table.EXPERIMENTS[name].presets, size)
    assert "measured" in PLANS[name](dataclasses.replace(config, store=Path("elsewhere")))[CPU.label]
    assert "measured" not in PLANS[name](config)[H100.label]
    if hasattr(config, "steps"):
        changed = dataclasses.replace(config, steps=config.steps - 1)
        assert "estimated" in PLANS[name](changed)[CPU.label]


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in MEASURED for size in MEASURED[name]])
def test_the_estimate_is_within_a_factor_of_two_of_what_was_measured(name, size):
    """The handout promises it: an AMX machine is faster than the float32 rate, a busy one slower."""
    work = cost_table.EXPERIMENTS[name].work_of(preset(cost_table.EXPERIMENTS[name].presets, size))
    guessed = sum(piece.seconds(CPU) for piece in work)
    assert 0.5 <= guessed / MEASURED[name][size].seconds <= 2


def test_the_handout_states_the_costs_of_the_presets():
    """Golden: made by `python -m a1_basics.run.cost_table`."""
    handout = Path(__file__).resolve().parents[3] / "a1_basics/HANDOUT.md"
    written = handout.read_text(encoding="utf-8").partition(cost_table.BEGIN)[2].partition(cost_table.END)[0]
    assert written.strip() == cost_table.cost_table(US_PRICES)


def test_evaluation_is_counted_with_training():
    job = dataclasses.replace(preset(TRAIN_LM, "tiny"), steps=10, evaluate_every_steps=4, evaluate_batches=3)
    per_batch = accounting.training_flops(dataclasses.replace(job, steps=1)) / 3  # forwards only
    assert accounting.evaluation_flops(job) == pytest.approx(3 * 3 * per_batch)  # after 4, 8 and 10 steps
