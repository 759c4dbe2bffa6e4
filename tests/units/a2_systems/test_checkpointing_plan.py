"""Plans of checkpoints: the model computes the same, the peak is as predicted, none within the budget is cheaper."""

import functools
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from a1_basics.adapters import build_model
from a2_systems.measure.memory import KeptBytes
from a2_systems.parallel import checkpointing_plan as plans
from shared.accounting import BYTES_PER_TOKEN_ID, block_kept_bytes, ends_kept_bytes, residual_stream_bytes
from shared.doors.protocols import ModelConfig

BLOCKS, BATCH, SEQ = 6, 2, 16
SHAPE = ModelConfig(vocab_size=50, context_length=32, d_model=16, num_layers=BLOCKS, num_heads=2, d_ff=40)
INSIDE = block_kept_bytes(SHAPE, BATCH, SEQ)
INPUT = residual_stream_bytes(SHAPE, BATCH, SEQ)
ALL_PLANS = {
    "none": plans.plain(BLOCKS),
    "every": plans.every(BLOCKS),
    "pairs": plans.every(BLOCKS, 2),
    "uneven": plans.every(BLOCKS, 4),
    "best groups": plans.best_groups(BLOCKS, INPUT, INSIDE),
    "halves": plans.halves(BLOCKS),
    "mixed": (0, ((1, (2,)), 3), 4, (5,)),
    "within 2.5 insides": plans.cheapest_plan(BLOCKS, INPUT, INSIDE, 5 * INSIDE // 2),
}


def step(plan):
    torch.manual_seed(0)
    model = build_model(SHAPE)
    ids = torch.randint(0, SHAPE.vocab_size, (BATCH, SEQ))
    targets = torch.randint(0, SHAPE.vocab_size, (BATCH, SEQ))
    if plan is not None:
        plans.apply_plan(model, plan)
    with KeptBytes(model) as kept:
        loss = cross_entropy(model(ids).flatten(0, -2), targets.flatten())
        after_forward = kept.now_bytes
        loss.backward()
    return model, loss, {name: each.grad for name, each in model.named_parameters()}, kept, after_forward


@pytest.mark.parametrize("name", ALL_PLANS)
def test_loss_and_gradients_are_the_same_to_the_bit(name):
    _, loss, gradients, _, _ = step(None)
    model, again, others, _, _ = step(ALL_PLANS[name])
    assert torch.equal(loss, again)
    assert [*model.state_dict()] == [*build_model(SHAPE).state_dict()]
    for key in gradients:
        assert torch.equal(gradients[key], others[key]), key


@pytest.mark.parametrize("name", ALL_PLANS)
def test_kept_bytes_are_exactly_those_predicted(name):
    plan = ALL_PLANS[name]
    _, _, _, kept, after_forward = step(plan)
    held = sum(INSIDE if isinstance(part, int) else INPUT for part in plan)
    assert after_forward == held + ends_kept_bytes(SHAPE, BATCH, SEQ)
    ids = BATCH * SEQ * BYTES_PER_TOKEN_ID  # the embedding keeps them to the very end
    assert kept.peak_bytes == max(after_forward, plans.peak_bytes(plan, INPUT, INSIDE) + ids)
    assert kept.now_bytes == 0


@pytest.mark.parametrize("name", ALL_PLANS)
def test_blocks_run_as_often_as_predicted(name):
    torch.manual_seed(0)
    model = build_model(SHAPE)
    calls = []
    for block in model.layers:
        block.ln1.register_forward_hook(lambda *_: calls.append(1))
    plans.apply_plan(model, ALL_PLANS[name])
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    assert len(calls) == BLOCKS + plans.recomputed_blocks(ALL_PLANS[name])


def test_a_plan_replaces_another_and_goes_without_a_trace():
    model = build_model(SHAPE)
    ids = torch.arange(8)[None]
    before = model(ids)
    plans.apply_plan(model, plans.every(BLOCKS))
    plans.apply_plan(model, plans.every(BLOCKS, 3))
    assert torch.equal(before, model(ids))
    plans.remove_plan(model)
    assert torch.equal(before, model(ids))
    assert all("forward" not in vars(block) for block in model.layers)


def test_a_plan_for_another_model_is_refused():
    with pytest.raises(ValueError, match="the model has 6"):
        plans.apply_plan(build_model(SHAPE), plans.every(5))


def all_plans(blocks, first=0, *, may_be_one=True):
    """Every plan there is: each block plain, or in a checkpoint with neighbours, to any depth that gains something."""
    if blocks == 0:
        yield ()
        return
    for rest in all_plans(blocks - 1, first + 1):
        yield (first, *rest)
    for size in range(1, blocks + 1 if may_be_one else blocks):
        for inside in all_plans(size, first, may_be_one=False):
            for rest in all_plans(blocks - size, first + size):
                yield (inside, *rest)


@functools.cache
def every_plan(blocks):
    return tuple(all_plans(blocks))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 20), st.integers(0, 80))
def test_no_plan_within_the_budget_recomputes_less(blocks, input_bytes, block_bytes, budget):
    costs = [
        plans.recomputed_blocks(plan)
        for plan in every_plan(blocks)
        if plans.peak_bytes(plan, input_bytes, block_bytes) <= budget
    ]
    found = plans.cheapest_plan(blocks, input_bytes, block_bytes, budget)
    if found is None:
        assert not costs
        return
    assert [*plans.blocks_of(found)] == [*range(blocks)]
    assert plans.peak_bytes(found, input_bytes, block_bytes) <= budget
    assert plans.recomputed_blocks(found) == min(costs)


@pytest.mark.parametrize("input_bytes", [1, 4])
def test_best_groups_beat_their_neighbours_and_grow_with_the_root(input_bytes):
    for blocks, inside in itertools.product((16, 36, 100), (1, 8, 40)):
        best = plans.best_groups(blocks, input_bytes, inside)
        peak = plans.peak_bytes(best, input_bytes, inside)
        for group in range(1, blocks + 1):
            assert peak <= plans.peak_bytes(plans.every(blocks, group), input_bytes, inside)
        # n/g inputs and g insides are least at 2 sqrt(n inside input); a short last group saves up to one input, and
        # whole numbers cost up to one of each.
        root = 2 * (blocks * inside * input_bytes) ** 0.5
        assert root - input_bytes - 1e-9 <= peak <= root + inside + input_bytes


def test_halves_need_memory_for_the_logarithm_alone():
    peaks = [plans.peak_bytes(plans.halves(2**power), 1, 1) for power in range(1, 9)]
    assert [after - before for before, after in itertools.pairwise(peaks)] == [1] * 7
    # each level runs everything once more
    assert plans.recomputed_blocks(plans.halves(64)) <= 64 * 6
