"""SiLU from exp(-|x|), which never overflows."""

import torch

SOLVES = ("silu",)


def run_silu(in_features):
    small = torch.exp(-in_features.abs())
    return in_features * torch.where(in_features >= 0, 1.0, small) / (1 + small)
