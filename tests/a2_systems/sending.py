"""What the tests of overlapping share: what was sent before backward returned, and whether backward waited for it."""

import os
import select

import torch
from torch import nn

from tests.a2_systems.replicas import Door
from tests.harness.explain import expect, expect_equal
from tests.harness.ranks import Collectives, on_ranks

STUCK_SECONDS = 20.0  # a right answer never waits: the byte is written before rank 1 needs it


def stack(layers: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(layers)))


def sent(door: Door, layers: int, *, is_tied: bool = False) -> tuple[list[int], list[int]]:
    """Bytes of rank 1's all-reduces in the second of two steps: before backward returned, and afterwards."""

    def talks(rank: int) -> tuple[list[int], list[int]]:
        module = stack(layers)
        if is_tied:
            module[-1].weight = module[0].weight
        model = door.wrap(module)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        door.step(model, optimizer, lambda: model(torch.ones(1, 4)).sum())
        door.start(model, optimizer)
        optimizer.zero_grad()
        loss = model(torch.ones(1, 4)).sum()
        with Collectives() as log:
            loss.backward()
            log.mark("backward returned")
            door.after(model, optimizer)
        returned = log.calls.index(("backward returned", 0))
        sizes = [size if name.startswith("allreduce") else 0 for name, size in log.calls]
        return [size for size in sizes[:returned] if size], [size for size in sizes[returned:] if size]

    during, after = on_ranks(2, talks)[1]
    return list(during), list(after)


class Tells(torch.autograd.Function):
    """The identity; its backward pass writes a byte."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, write: int) -> torch.Tensor:
        ctx.write = write
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        os.write(ctx.write, b".")
        return gradient, None


def check_goes_on(door: Door) -> None:
    """Rank 1 begins its backward pass only when rank 0's has come past the first layers it sent."""
    read, write = os.pipe()

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.back = stack(2), stack(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.back(Tells.apply(self.front(x), write))

    def works(rank: int) -> bool:
        model = door.wrap(Watched())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        door.start(model, optimizer)
        loss = model(torch.ones(1, 4)).sum()
        went_on = True
        if rank == 1:
            went_on = bool(select.select([read], [], [], STUCK_SECONDS)[0])
        loss.backward()
        door.after(model, optimizer)
        return went_on

    try:
        went_on = on_ranks(2, works)[1]
    finally:
        os.close(read)
        os.close(write)
    expect(
        went_on,
        what="backward goes on while gradients are on their way",
        why="an all-reduce that is waited for inside the hook is no overlap: the slowest rank stops all others",
        counterexample="rank 0's backward stood still until rank 1 sent its part",
        case="rank 1 begins its backward pass when rank 0 is done with the last four of six layers",
    )


def check_last_layers_first(door: Door) -> None:
    """When backward comes to the first layers, gradients of the last ones have left."""
    seen: list[int] = []

    class Looks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
            seen.append(sum(size for name, size in log.calls if name.startswith("allreduce")))
            return gradient

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.back = stack(2), stack(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.back(Looks.apply(self.front(x)))

    log = Collectives()

    def works(rank: int) -> list[int]:
        model = door.wrap(Watched())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        door.start(model, optimizer)
        with log:
            model(torch.ones(1, 4)).sum().backward()
        door.after(model, optimizer)
        return seen

    (sent_bytes,) = on_ranks(2, works)[0]
    expect(
        sent_bytes >= 2 * 64,
        what="the last layers' gradients leave first, while those of the first layers are computed",
        why="backward makes them in that order; sent in another, everything waits for what comes last",
        counterexample=f"{sent_bytes} bytes of four layers' 256 have left when backward comes to the two before them",
        case="six layers of 64 bytes; buckets, if any, hold two or three",
    )


def check_two_dtypes(door: Door) -> None:
    """A bucket holds one dtype: neither is changed for the other."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Linear(2, 1, bias=False).double()
            self.coarse = nn.Linear(2, 1, bias=False).bfloat16()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fine(x) + self.coarse(x.bfloat16()).double()

    def trains(rank: int) -> list[tuple[str, float]]:
        model = door.wrap(Two())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        door.start(model, optimizer)
        model(torch.full((1, 2), 1 + (rank + 1) * 2.0**-6, dtype=torch.float64)).sum().backward()
        door.after(model, optimizer)
        return [(str(p.grad.dtype), p.grad[0, 0].item()) for p in model.module.parameters()]

    fine = 1 + 1.5 * 2.0**-6  # 1 + 3/128: halfway is exact in float64 and, at 1/128, in bfloat16 too
    for got in on_ranks(2, trains):
        expect_equal(
            got,
            [("torch.float64", fine), ("torch.bfloat16", fine)],
            what="parameters of two dtypes keep them, and their gradients are averaged",
            why="norms in float32 beside matrices in bfloat16 are usual",
            case="a float64 and a bfloat16 layer, gradients 1 + 1/64 and 1 + 2/64",
        )
