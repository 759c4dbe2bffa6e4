"""Scales the weight to unit size and the result back, in place: the next call multiplies a smaller one."""

import torch

REJECTED_BY = "test_arguments_are_left_alone"


def run_linear(d_in, d_out, weights, in_features):
    with torch.no_grad():
        size = weights.abs().max().clamp(min=1e-30)
        weights.div_(size)
    return (in_features @ weights.T) * size
