"""Calls the library's module."""

import torch

REJECTED_BY = "forbidden"


def run_cross_entropy(inputs, targets):
    return torch.nn.CrossEntropyLoss()(inputs.reshape(-1, inputs.shape[-1]), targets.reshape(-1))
