"""Clamps x against overflow, and with it the result: large activations are cut off."""

import torch

REJECTED_BY = "test_far_out_it_is_zero_or_x"


def run_silu(in_features):
    x = in_features.clamp(-20, 20)
    return x * torch.sigmoid(x)
