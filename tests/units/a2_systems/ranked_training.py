"""Small models and their training, on one process over the joined batch and on ranks that share it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

VOCAB, WIDTH, HIDDEN = 7, 5, 6
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "adamw": lambda params: optim.AdamW(params, lr=0.05, eps=1e-2, weight_decay=0.1),
}


class Small(nn.Module):
    """Rows that no number of ranks divides, biases, a norm, a frozen layer, a buffer; tied in two ways, or not.

    `two_layers`: the last layer has the table as its weight; `read`: the module itself reads the table.
    """

    def __init__(self, tied: str = "") -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, WIDTH)
        self.up = nn.Linear(WIDTH, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN)
        self.frozen = nn.Linear(HIDDEN, WIDTH)
        self.frozen.weight.requires_grad_(False)
        self.head = None if tied == "read" else nn.Linear(WIDTH, VOCAB, bias=False)
        if tied == "two_layers" and self.head is not None:
            self.head.weight = self.table.weight
        self.register_buffer("scale", torch.rand(()) + 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        features = self.frozen(self.norm(torch.tanh(self.up(self.table(ids))))) * self.scale
        return features @ self.table.weight.T if self.head is None else self.head(features)


def batch_of(step: int, rank: int) -> Tensor:
    """What this rank is given in this step: no two are equal."""
    return torch.randint(0, VOCAB, (4, 3), generator=torch.Generator().manual_seed(100 * step + rank))


def loss_of(model: nn.Module, ids: Tensor) -> Tensor:
    return F.cross_entropy(model(ids).float().flatten(0, 1), ids.roll(1, -1).flatten())


def trained_alone(model: nn.Module, optimizer: optim.Optimizer, ranks: int, steps: int = 3) -> None:
    """What the ranks must come to: each step on the batches of all of them."""
    for step in range(steps):
        optimizer.zero_grad()
        torch.stack([loss_of(model, batch_of(step, rank)) for rank in range(ranks)]).mean().backward()
        optimizer.step()
