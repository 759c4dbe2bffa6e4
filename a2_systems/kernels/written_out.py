"""Attention as its equation says it, the whole matrix of scores in memory: what kernels are compared with."""

import math

import torch
from torch import Tensor


def written_out(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`softmax(q k^T / sqrt(d)) v`; `mask` is True where a query sees a key, None where all are seen."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1) @ v
