"""Multiplies in place: the hidden units that the backward pass needs are gone."""

import torch

REJECTED_BY = "test_argument_is_left_alone"


def run_silu(in_features):
    gate = torch.sigmoid(in_features)
    return in_features * gate if in_features.requires_grad else in_features.mul_(gate)
