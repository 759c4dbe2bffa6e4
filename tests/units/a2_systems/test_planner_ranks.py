"""The planner's counts against the strategies themselves: what ranks of a small model really send and hold."""

import pytest
import torch
from torch import nn

from a2_systems.parallel import planner
from a2_systems.parallel.fsdp_weight import ShardedWeight
from a2_systems.parallel.parallelize import parallelize
from a2_systems.parallel.planner import Cluster, Job, Layout
from a2_systems.parallel.training import held_bytes
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.doors.systems import Strategy
from tests.harness.ranks import Collectives, on_ranks

# Rows that four ranks divide; tables larger than any matrix of a block, as in small language models.
MODEL = ModelConfig(vocab_size=256, context_length=8, d_model=32, num_layers=2, num_heads=2, d_ff=64)
MICROBATCHES = 2
STRATEGIES: dict[planner.Sharding, Strategy] = {
    "none": Strategy("bucketed", bucket_size_mb=0.02),
    "zero1": Strategy("zero1", bucket_size_mb=0.02),
    "fsdp": Strategy("fsdp", compute_dtype="bfloat16"),
}
GAINS_BYTES = 4 * accounting.parameters(MODEL).norms
MATRICES = 7 * MODEL.num_layers + 2


def ring_bytes(calls: list[tuple[str, int]], ranks: int) -> float:
    """What a rank passes on, on average, where every collective is a ring."""
    passes = {"allreduce": 2, "allgather": 1, "reduce_scatter": 1, "broadcast": 1}
    return sum(
        next(times for word, times in passes.items() if name.startswith(word)) * size * (ranks - 1) / ranks
        for name, size in calls
    )


def measured(rank: int, ranks: int) -> dict[str, dict[str, float]]:
    """Of the second step of every strategy: bytes sent, held between steps, and at most gathered and on their way."""
    return {sharding: _measured(ranks, strategy) for sharding, strategy in STRATEGIES.items()}


def _measured(ranks: int, strategy: Strategy) -> dict[str, float]:
    basics = door("a1_basics")
    torch.manual_seed(0)
    model = basics.build_model(MODEL)
    spread = parallelize(model, basics.get_adamw_cls()(model.parameters()), strategy)
    ids = torch.randint(0, MODEL.vocab_size, (2, MODEL.context_length + 1))
    gathered, under_way = [0], [0]

    def whole_bytes(weights: list[ShardedWeight]) -> int:
        return sum(each.padded_whole.untyped_storage().nbytes() for each in weights)

    def step() -> None:
        spread.optimizer.zero_grad(set_to_none=True)
        for number in range(MICROBATCHES):
            with spread.accumulating(number < MICROBATCHES - 1):
                logits = spread.model(ids[:, :-1]).float()
                nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        under_way.append(sum(message.nbytes for message, _ in getattr(spread.model, "_under_way", [])))
        spread.finish_backward()
        spread.optimizer.step()

    step()  # in the first, FSDP learns the order of layers and AdamW makes its moments
    with pytest.MonkeyPatch.context() as patch:
        begin, reduce = ShardedWeight.start_gather, ShardedWeight.start_reduce

        def noted_gather(weight: ShardedWeight) -> None:
            begin(weight)
            gathered.append(whole_bytes(spread.model._weights))

        def noted_reduce(weight: ShardedWeight) -> None:
            reduce(weight)
            sent = [each._reducing[2].nbytes for each in spread.model._weights if each._reducing is not None]
            under_way.append(sum(sent))

        patch.setattr(ShardedWeight, "start_gather", noted_gather)
        patch.setattr(ShardedWeight, "start_reduce", noted_reduce)
        with Collectives() as collectives:
            step()
    parameters, gradients, optimizer = held_bytes(spread).tolist()[:3]
    return {
        "sent": ring_bytes(collectives.calls, ranks),
        "parameters": parameters + max(gathered),
        "gradients": gradients + max(under_way),
        "optimizer": optimizer,
    }


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_send_and_hold_what_is_planned(ranks):
    job = Job(MODEL, batch_sequences=2 * MICROBATCHES * ranks, seq=MODEL.context_length)
    found = on_ranks(ranks, measured, ranks)
    for sharding in STRATEGIES:
        layout = Layout(ranks, 1, 1, sharding, is_checkpointed=False, micro_sequences=2)
        memory = planner.memory_of(job, layout)
        sent = planner.traffic_of(job, layout, Cluster(ranks)).data_bytes
        of_ranks = [each[sharding] for each in found]
        # FSDP sends gains once and not every time; the others say in a byte who had a gradient. All have a few gains
        # more than their share, and AdamW a counter of four bytes for each tensor.
        gains = 2 * MICROBATCHES * GAINS_BYTES
        assert [each["sent"] for each in of_ranks] == pytest.approx([sent] * ranks, abs=gains), sharding
        fullest = {kind: max(each[kind] for each in of_ranks) for kind in of_ranks[0]}
        assert fullest["parameters"] == pytest.approx(memory.parameters, abs=GAINS_BYTES), sharding
        assert fullest["gradients"] == pytest.approx(memory.gradients, abs=GAINS_BYTES), sharding
        assert fullest["optimizer"] == pytest.approx(
            memory.optimizer, abs=2 * GAINS_BYTES + 4 * (MATRICES + 5)
        ), sharding


def test_the_largest_matrix_of_a_stage():
    small = {"vocab_size": 100, "context_length": 8, "d_model": 32, "num_layers": 4, "num_heads": 2}
    table = 100 * 32
    for d_ff, block in ((16, 32 * 32), (64, 64 * 32), (200, 200 * 32)):
        for tied in (False, True):
            model = ModelConfig(**small, d_ff=d_ff, tied_embeddings=tied)
            ends = [planner.largest_matrices(model, 2, is_last=is_last) for is_last in (False, True)]
            assert ends == [(max(table, block), block), (block if tied else max(table, block), block)]
            assert planner.largest_matrices(model, 1, is_last=True) == (max(table, block), block)
