"""Calls the library's module."""

import torch

REJECTED_BY = "forbidden"


def run_softmax(in_features, dim):
    return torch.nn.Softmax(dim=dim)(in_features)
