"""Cross-entropy of next-token predictions, in nats per token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "... vocab"], targets: Int[Tensor, "..."]) -> Float[Tensor, ""]:
    """Mean of `-log softmax(logits)[target]` over all positions.

    The exponential never leaves the log-sum-exp, so logits of any size neither overflow nor lose the small
    probabilities. Half-precision logits are widened first: a sum over a vocabulary needs more than 8 bits.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    target_logits = logits.gather(-1, targets[..., None].long())[..., 0]
    return (torch.logsumexp(logits, dim=-1) - target_logits).mean()
