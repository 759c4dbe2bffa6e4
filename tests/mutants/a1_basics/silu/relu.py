"""Lets nothing below zero through: right for every positive number."""

import torch

REJECTED_BY = "test_it_dips_below_zero_once"


def run_silu(in_features):
    return (in_features * torch.sigmoid(in_features)).clamp(min=0)
