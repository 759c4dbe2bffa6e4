"""What the tests of FSDP share: models whose every part is sharded or kept in another way, and leaves that tell."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

EACH, STEPS = 3, 3
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, eps=1e-2),
}
# float32: gradients of size 1 are rounded at 1e-7, and once more when the ranks' means are averaged; an eps of 1e-2
# bounds what AdamW makes of that where a gradient is next to nothing. Mistakes move weights by 1e-3 and more.
ATOL = 5e-6


class Mix(nn.Module):
    """A matrix in a leaf of its own class: no Linear, no Embedding."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, columns) / columns**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ self.weight.T)


class Model(nn.Module):
    """Matrices of 7, 6, 5, 3 and 7 rows, biases, a norm, a frozen matrix and number, a buffer, a keyword that matters.

    With `is_tied`, the table of the first layer is the matrix of the last.
    """

    def __init__(self, seed: int, *, is_tied: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Embedding(7, 5)
        self.blocks = nn.ModuleList([nn.Linear(5, 6), Mix(5, 6)])
        self.norm = nn.LayerNorm(5)
        self.still = nn.Linear(5, 3)
        self.still.weight.requires_grad_(False)
        self.back = nn.Linear(3, 5, bias=False)
        self.head = nn.Linear(5, 7)
        if is_tied:
            self.head.weight = self.table.weight
        self.frozen = nn.Parameter(torch.randn(5), requires_grad=False)
        self.gain = nn.Parameter(torch.randn(5))
        self.register_buffer("shift", torch.randn(5))

    def forward(self, ids: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        features = self.table(ids) * scale
        for block in self.blocks:
            features = block(features)
        features = self.norm(features * self.gain + self.frozen + self.shift)
        return self.head(features + self.back(torch.tanh(self.still(features))))


def batch_of(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    return torch.randint(7, (EACH, 4), generator=generator), torch.randint(7, (EACH, 4), generator=generator)


def loss_of(model: nn.Module, rank: int, step: int) -> torch.Tensor:
    ids, targets = batch_of(rank, step)
    return nn.functional.cross_entropy(model(ids, scale=2.0).flatten(0, 1).float(), targets.flatten())


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def trained_alone(
    model: nn.Module, ranks: int, optimizer: str, steps: range = range(STEPS)
) -> list[list[float]]:
    """Steps on one process over all ranks' examples: the loss of each rank's part, by rank and step."""
    update = OPTIMIZERS[optimizer](trainable(model))
    losses = []
    for step in steps:
        update.zero_grad()
        parts = [loss_of(model, rank, step) for rank in range(ranks)]
        (torch.stack(parts).sum() / ranks).backward()
        update.step()
        losses.append([part.item() for part in parts])
    return [list(column) for column in zip(*losses, strict=True)]


def trained(
    adapters: Any, model: nn.Module, rank: int, optimizer: str, steps: range = range(STEPS)
) -> list[float]:
    """The same steps behind the door: this rank's losses."""
    update = OPTIMIZERS[optimizer](trainable(model))
    losses = []
    for step in steps:
        with torch.no_grad():
            loss_of(model, rank, 99)  # an evaluation, which must leave nothing behind
        update.zero_grad(set_to_none=step % 2 == 0)
        loss = loss_of(model, rank, step)
        loss.backward()
        adapters.fsdp_on_after_backward(model, update)
        update.step()
        losses.append(loss.item())
    return losses


class Product(torch.autograd.Function):
    """x times the transpose of a matrix; tells when it computes, in either direction."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, tell: Callable[[str], None]) -> torch.Tensor:
        tell("forward")
        ctx.tell = tell
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        ctx.tell("backward")
        return gradient @ weight, gradient.T @ x, None


class Telling(nn.Module):
    """A leaf with a matrix that calls `tell(direction, which)` while it computes."""

    def __init__(self, rows: int, columns: int, tell: Callable[[str, int], None], which: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, columns) / columns**0.5)
        self.tell, self.which = tell, which

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Product.apply(x, self.weight, lambda direction: self.tell(direction, self.which))


def telling(widths: list[int], tell: Callable[[str, int], None]) -> nn.Sequential:
    """Layers between these widths, one after the other."""
    torch.manual_seed(0)
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(Telling(after, before, tell, i) for i, (before, after) in enumerate(pairs)))


def one_step(adapters: Any, model: nn.Module, width: int) -> None:
    """Forward, backward and what follows, on ones that want a gradient."""
    model(torch.ones(1, width, requires_grad=True)).float().sum().backward()
    adapters.fsdp_on_after_backward(model, torch.optim.SGD(model.parameters(), lr=0.0))
