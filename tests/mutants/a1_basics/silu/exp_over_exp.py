"""x e^x / (1 + e^x): infinity over infinity for large x."""

import torch

REJECTED_BY = "test_far_out_it_is_zero_or_x"


def run_silu(in_features):
    power = torch.exp(in_features)
    return in_features * power / (1 + power)
