"""Cross-entropy on flattened predictions, the differences to the target first."""

import torch

SOLVES = ("cross_entropy",)


def run_cross_entropy(inputs, targets):
    flat = inputs.reshape(-1, inputs.shape[-1])
    ids = targets.reshape(-1)
    gaps = flat - flat[torch.arange(len(ids)), ids][:, None]
    return torch.logsumexp(gaps, dim=1).sum() / len(ids)
