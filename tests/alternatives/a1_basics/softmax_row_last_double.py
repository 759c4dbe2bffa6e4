"""Softmax in float64 with dim moved to the end and back, its shift detached: it cancels."""

import torch

SOLVES = ("softmax",)


def run_softmax(in_features, dim):
    x = in_features.double().movedim(dim, -1)
    powers = torch.exp(x - x.detach().max(dim=-1, keepdim=True).values)
    return (powers / powers.sum(-1, keepdim=True)).movedim(-1, dim).to(in_features.dtype)
