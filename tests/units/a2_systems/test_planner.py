"""The planner's counts: limit cases, what must rise and fall, and the limits of the arithmetic problems."""

import dataclasses
import itertools

import pytest

from a2_systems.parallel import planner
from a2_systems.parallel.checkpointing_plan import every, halves, peak_bytes, recomputed_blocks
from a2_systems.parallel.planner import Cluster, Job, Layout
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.parallel_costs import (
    FeedForwardCosts,
    Link,
    all_gather_seconds,
    all_reduce_bytes,
    all_reduce_seconds,
)
from tests.a2_systems import key_gradient_checkpointing

MODEL = ModelConfig(1000, context_length=512, d_model=256, num_layers=8, num_heads=8, d_ff=688)
JOB = Job(MODEL, batch_sequences=64, seq=512)
ONE = Layout(1, 1, 1, "none", is_checkpointed=False, micro_sequences=4)
COSTS = FeedForwardCosts(4096, 512, 1408, flops_per_second=1e12, bytes_per_second=1e9)


def changed(**values):
    return dataclasses.replace(ONE, **values)


def test_one_rank_holds_the_whole_model_and_sends_nothing():
    memory = planner.memory_of(JOB, ONE)
    weights = 4 * accounting.parameters(MODEL).total
    assert (memory.parameters, memory.gradients, memory.optimizer) == (weights, weights, 2 * weights)
    assert weights * 4 == accounting.training_bytes(MODEL)
    kept = 8 * accounting.block_kept_bytes(MODEL, 4, 512) / 2 + accounting.ends_kept_bytes(MODEL, 4, 512)
    assert memory.activations == kept
    found = planner.estimate(JOB, ONE, Cluster(1))
    assert found.traffic.total_bytes == found.exposed_seconds == found.bubble_seconds == 0
    flops = 64 * 512 * accounting.training_flops_per_token(MODEL, 512)
    assert found.step_seconds == pytest.approx(flops / Cluster(1).flops_per_second)


def test_stages_add_up_to_the_model():
    blocks = accounting.parameters(MODEL).non_embedding - MODEL.d_model
    for stages in (2, 4, 8):
        middle = (stages - 2) * blocks / stages
        first, last = (planner.stage_parameters(MODEL, stages, is_last=is_last) for is_last in (False, True))
        assert first + middle + last == accounting.parameters(MODEL).total


def test_more_ranks_never_need_more_memory_of_each():
    for sharding in planner.SHARDINGS:
        totals = [planner.memory_of(JOB, changed(data=n, sharding=sharding)).total for n in (2, 4, 8, 16)]
        assert all(after <= before for before, after in itertools.pairwise(totals)), sharding
    for name in ("tensor", "pipeline"):
        totals = [planner.memory_of(JOB, changed(**{name: n})).parameters for n in (1, 2, 4, 8)]
        assert all(after < before for before, after in itertools.pairwise(totals)), name


def test_each_kind_of_sharding_and_checkpoints_hold_less():
    by_sharding = [planner.memory_of(JOB, changed(data=8, sharding=kind)) for kind in planner.SHARDINGS]
    assert [memory.optimizer for memory in by_sharding[1:]] == [by_sharding[0].optimizer / 8] * 2
    for each in by_sharding[:2]:
        assert each.gradients == 2 * 4 * accounting.parameters(MODEL).total  # and as much in buckets
    on_its_way = (
        4 * 2 * 1000 * 256
    )  # the gradient of the table, and from the next microbatch that of the head
    assert by_sharding[2].gradients == by_sharding[0].gradients / 16 + on_its_way
    assert by_sharding[0].total > by_sharding[1].total > by_sharding[2].total
    plain, checkpointed = (planner.memory_of(JOB, changed(is_checkpointed=on)) for on in (False, True))
    assert checkpointed.activations < plain.activations / 2
    seconds = [
        planner.estimate(JOB, changed(is_checkpointed=on), Cluster(1)).step_seconds for on in (False, True)
    ]
    assert seconds[1] == pytest.approx(seconds[0] * 4 / 3)


def test_what_is_sent_is_what_rings_send():
    weights = accounting.parameters(MODEL).total
    data = planner.traffic_of(JOB, changed(data=8, micro_sequences=8), Cluster(8))
    assert data.data_bytes == all_reduce_bytes(4 * weights, 8)  # float32
    # ZeRO-1 sends weights too: about 3 P numbers
    zero = planner.traffic_of(JOB, changed(data=8, micro_sequences=8, sharding="zero1"), Cluster(8))
    assert zero.data_bytes == pytest.approx(3 * 4 * weights * 7 / 8)
    # one microbatch of FSDP: gathered twice in bfloat16, scattered once in float32, as many bytes as an all-reduce
    fsdp = planner.traffic_of(JOB, changed(data=8, micro_sequences=8, sharding="fsdp"), Cluster(8))
    assert fsdp.data_bytes == data.data_bytes
    tensor = planner.traffic_of(JOB, changed(tensor=4, micro_sequences=64), Cluster(4))
    assert tensor.tensor_bytes == 4 * 8 * all_reduce_bytes(2 * 64 * 512 * 256, 4)
    pipe = planner.traffic_of(JOB, changed(pipeline=4), Cluster(4))
    assert pipe.pipeline_bytes == 2 * 16 * 2 * 4 * 512 * 256


def test_a_faster_link_is_never_slower_and_a_pipeline_bubbles_as_known():
    slow, fast = Cluster(16, between=Link(1e9, 1e-5)), Cluster(16, between=Link(1e11, 1e-6))
    for layout in itertools.islice(planner.layouts(JOB, slow), 0, None, 7):
        assert (
            planner.estimate(JOB, layout, fast).step_seconds
            <= planner.estimate(JOB, layout, slow).step_seconds
        )
    found = planner.estimate(JOB, changed(pipeline=4), Cluster(4))
    assert found.bubble_seconds == pytest.approx(found.compute_seconds * 3 / 16)


def test_only_the_last_microbatch_hides_a_sum_of_gradients():
    """As long as its backward pass is what is hidden; the sum is of the same bytes however many there are."""
    cluster = Cluster(8, inside=Link(1e9, 0.0), flops_per_second=1e12)
    few, many = (changed(data=8, micro_sequences=size) for size in (8, 1))
    backward = planner.estimate(JOB, few, cluster).compute_seconds * 2 / 3
    for layout, microbatches in ((few, 1), (many, 8)):
        found = planner.estimate(JOB, layout, cluster)
        hidden = found.traffic.data_seconds - found.exposed_seconds
        assert hidden == pytest.approx(min(found.traffic.data_seconds, backward / microbatches))
    assert planner.estimate(JOB, many, cluster).exposed_seconds > 0
    # ZeRO-1's weights come when nothing is left to compute
    zero = planner.estimate(JOB, dataclasses.replace(few, sharding="zero1"), cluster)
    plain = planner.estimate(JOB, few, cluster)
    more = all_gather_seconds(4 * accounting.parameters(MODEL).total, 8, cluster.inside)
    assert zero.exposed_seconds == pytest.approx(plain.exposed_seconds + more)


def test_layouts_divide_everything_and_the_best_come_first():
    cluster = Cluster(16, memory_bytes=1e9)
    everything = [*planner.layouts(JOB, cluster)]
    assert len(set(everything)) == len(everything) > 50
    for layout in everything:
        assert layout.ranks == 16
        assert layout.data * layout.micro_sequences * layout.num_microbatches(JOB) == JOB.batch_sequences
        assert MODEL.num_heads % layout.tensor == MODEL.num_layers % layout.pipeline == 0
    found = planner.fitting(JOB, cluster)
    assert found
    assert all(each.memory.total <= 1e9 for each in found)
    times = [each.step_seconds for each in found]
    assert times == sorted(times)
    assert not planner.fitting(JOB, Cluster(16, memory_bytes=1e6))


def test_at_its_limit_sending_takes_as_long_as_computing():
    n = COSTS.data_parallel_limit()
    assert COSTS.data_parallel_seconds(n) == pytest.approx(COSTS.seconds_of_flops(2 * COSTS.forward_flops(n)))
    assert COSTS.fsdp_forward_seconds(n) == pytest.approx(COSTS.seconds_of_flops(COSTS.forward_flops(n)))
    assert COSTS.fsdp_backward_seconds(n) == pytest.approx(COSTS.seconds_of_flops(2 * COSTS.forward_flops(n)))
    forward, backward = COSTS.tensor_parallel_limits()
    assert COSTS.tensor_parallel_seconds(forward) == pytest.approx(
        COSTS.seconds_of_flops(COSTS.forward_flops(forward))
    )
    assert COSTS.tensor_parallel_seconds(backward) == pytest.approx(
        COSTS.seconds_of_flops(2 * COSTS.forward_flops(backward))
    )
    assert n == 1 + COSTS.a
    assert (forward, backward) == (1 + COSTS.b, 1 + 2 * COSTS.b)


def test_the_grid_at_its_limit_and_no_better_one_beside_it():
    overlapped = (1 + COSTS.a, 1 + COSTS.b)
    times = COSTS.two_dimensional_seconds(*overlapped)
    compute = COSTS.seconds_of_flops(COSTS.forward_flops(overlapped[0] * overlapped[1]))
    assert times == pytest.approx((compute, compute))
    assert COSTS.two_dimensional_limit(is_overlapped=True) == pytest.approx(overlapped[0] * overlapped[1])
    limit, side = COSTS.two_dimensional_limit(is_overlapped=False), COSTS.best_fsdp_ranks()

    def largest(fsdp_ranks):
        """The longest other side at which both times together are as long as the arithmetic."""
        return 1 + COSTS.b * (1 - (fsdp_ranks - 1) / COSTS.a)

    assert side * largest(side) == pytest.approx(limit)
    assert sum(COSTS.two_dimensional_seconds(side, limit / side)) == pytest.approx(
        COSTS.seconds_of_flops(COSTS.forward_flops(limit))
    )
    for other in (0.9 * side, 1.1 * side):
        assert other * largest(other) < limit


def test_messages_cost_time_however_short():
    assert all_gather_seconds(0, 8, Link(1e9, 1e-5)) == pytest.approx(7e-5)
    assert all_reduce_seconds(8e9, 8, Link(1e9, 1e-5)) == pytest.approx(14 + 14e-5)


def test_the_keys_of_checkpointing_are_those_of_the_plans():
    for blocks in (2, 4, 32):
        assert key_gradient_checkpointing.halved(blocks) == (
            peak_bytes(halves(blocks), 1, 0),
            recomputed_blocks(halves(blocks)),
        )
    for blocks, group in itertools.product((7, 32), (1, 2, 3, 4, 32)):
        counted = accounting.grouped_checkpoints_bytes(blocks, group, 80, 3651)
        assert counted == peak_bytes(every(blocks, group), 80, 3651)
