"""Model and optimizer in one file, to a path or an open binary file: the public assignment's checkpoint.

Runs save through `shared.runs.runner`, which adds the digest and the atomic rename; this is the format inside.
"""

import io
from typing import Any

import torch
from torch import nn, optim
from torch.types import FileLike

Target = FileLike | io.BytesIO  # which is an IO[bytes] to type checkers, but not to isinstance


def save_checkpoint(model: nn.Module, optimizer: optim.Optimizer, iteration: int, out: Target) -> None:
    """Write weights, optimizer state (moments and hyperparameters) and the number of steps done."""
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def load_checkpoint(src: Target, model: nn.Module, optimizer: optim.Optimizer) -> int:
    """Restore what `save_checkpoint` wrote into this model and optimizer; the number of steps done."""
    content: dict[str, Any] = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
