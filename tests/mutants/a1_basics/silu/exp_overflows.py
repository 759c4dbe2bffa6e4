"""x / (1 + exp(-x)): right values even at -100, where exp overflows, and a gradient of NaN there."""

import torch

REJECTED_BY = "test_slopes_are_finite_everywhere"


def run_silu(in_features):
    return in_features / (1 + torch.exp(-in_features))
