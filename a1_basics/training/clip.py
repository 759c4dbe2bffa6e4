"""Gradient clipping by the norm of all gradients together."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@torch.no_grad()
def clip_gradients(
    parameters: Iterable[nn.Parameter], max_norm: float, eps: float = 1e-6
) -> Float[Tensor, ""]:
    """Scale all gradients, in place, so that their joint L2 norm is at most `max_norm`; the norm found before.

    One norm over all parameters, so that the direction of the step is kept. Gradients below the bound stay as they
    are. The norm comes back as a tensor: reading it would make a GPU wait.

    Source: [clip-2013] algorithm 1.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack([torch.linalg.vector_norm(gradient.float()) for gradient in gradients])
    total_norm = torch.linalg.vector_norm(norms)
    scale = (max_norm / (total_norm + eps)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.to(gradient.dtype))
    return total_norm
