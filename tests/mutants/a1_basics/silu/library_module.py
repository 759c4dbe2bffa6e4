"""Calls the library's module."""

import torch

REJECTED_BY = "forbidden"


def run_silu(in_features):
    return torch.nn.SiLU()(in_features)
