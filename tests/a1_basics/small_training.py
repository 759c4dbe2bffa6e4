"""A small model with all that a checkpoint has to hold, in training; torch's own optimizers, for any will do."""

import io

import numpy as np
import torch
from torch import nn


class Model(nn.Module):
    """Matrices, vectors, a buffer that training changes, and one parameter that is frozen."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, 2)
        self.frozen = nn.Parameter(torch.full((2,), 0.5), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x)))) * self.frozen


def build(seed: int, kind: str = "adamw", width: int = 4):
    torch.manual_seed(seed)
    model = Model(width)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2 and p.requires_grad]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": rest, "weight_decay": 0.0}]
    if kind == "adamw":
        return model, torch.optim.AdamW(groups, lr=0.05, betas=(0.8, 0.95), eps=1e-6)
    return model, torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)


def train(model, optimizer, steps) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1000 + step))
        for group in optimizer.param_groups:
            group["lr"] = 0.05 / (1 + step)
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def weights(model) -> dict[str, np.ndarray]:
    return {name: tensor.detach().clone().numpy() for name, tensor in model.state_dict().items()}


def memory(optimizer) -> dict[str, object]:
    """The optimizer's state in plain values: what it remembers of each parameter, and the groups' settings."""
    state = optimizer.state_dict()
    remembered = {
        f"{index}.{name}": value.numpy().copy() if isinstance(value, torch.Tensor) else value
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
    groups = [dict(group) for group in state["param_groups"]]
    return {"state": remembered, "groups": groups}


def save(adapters, model, optimizer, iteration, out) -> None:
    adapters.run_save_checkpoint(model=model, optimizer=optimizer, iteration=iteration, out=out)


def load(adapters, src, model, optimizer) -> int:
    return adapters.run_load_checkpoint(src=src, model=model, optimizer=optimizer)


def saved_bytes(adapters, model, optimizer, iteration=7) -> bytes:
    file = io.BytesIO()
    save(adapters, model, optimizer, iteration, file)
    return file.getvalue()
