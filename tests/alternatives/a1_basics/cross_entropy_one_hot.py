"""Cross-entropy with one-hot targets, in float64, shifted by a detached maximum."""

import torch

SOLVES = ("cross_entropy",)


def run_cross_entropy(inputs, targets):
    x = inputs.double()
    x = x - x.detach().amax(-1, keepdim=True)
    log_total = x.exp().sum(-1, keepdim=True).log()
    one_hot = targets[..., None] == torch.arange(x.shape[-1])
    return ((log_total - x) * one_hot).sum(-1).mean().to(inputs.dtype)
