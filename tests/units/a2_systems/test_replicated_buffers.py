"""What copies on several ranks begin with and keep in common beside their parameters: buffers, of every dtype."""

import pytest
import torch
from torch import nn

from a2_systems.parallel.ddp import OverlappedDDP
from a2_systems.parallel.ddp_naive import NaiveDDP
from a2_systems.parallel.fsdp import FSDP
from tests.harness.ranks import Collectives, on_ranks


def test_buffers_follow_the_first_rank_and_only_those_that_are_state():
    def counts(rank: int) -> tuple[list[torch.Tensor], list[list[object]]]:
        model = OverlappedDDP(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        model.module.register_buffer("mask", torch.ones(9), persistent=False)
        with Collectives() as log:
            model(torch.randn(4, 2, generator=torch.Generator().manual_seed(rank))).sum().backward()
            model.finish_gradient_synchronization()
        return list(model.module[1].buffers()), [list(c) for c in log.calls if c[0] == "broadcast"]

    (first, sent), (second, _) = on_ranks(2, counts)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[0].abs().sum() > 0
    assert sent == [["broadcast", 8], ["broadcast", 8], ["broadcast", 8]]


@pytest.mark.parametrize("kind", [NaiveDDP, FSDP])
def test_buffers_of_every_dtype_begin_as_those_of_the_first_rank(kind):
    kinds = (torch.int16, torch.float8_e4m3fn, torch.bool, torch.bfloat16, torch.complex64, torch.uint16)

    def begun(rank: int) -> list[list[float]]:
        module = nn.Linear(2, 2)
        for dtype in kinds:
            module.register_buffer(
                f"of_{str(dtype)[6:]}", torch.tensor([[1.0, 0.0]] * 3).T.mul(1 - rank).to(dtype)
            )
        module.register_buffer("number", torch.tensor(1 - rank, dtype=torch.int16))
        kind(module)
        return [buffer.to(torch.complex64).real.flatten().tolist() for buffer in module.buffers()]

    first, second = on_ranks(2, begun)
    assert first == second == [[1.0] * 3 + [0.0] * 3] * len(kinds) + [[1.0]]
