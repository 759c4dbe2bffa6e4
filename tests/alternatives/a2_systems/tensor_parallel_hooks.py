"""A hook for the sum in the backward pass; a constant, which has no gradient, for that in the forward pass."""

import torch
import torch.distributed as dist

SOLVES = ("tensor_parallel_linear",)


def summed(gradient):
    gradient = gradient.contiguous().clone()
    dist.all_reduce(gradient)
    return gradient


def column_parallel_linear(in_features, weight_part):
    own = in_features.view_as(in_features)
    if own.requires_grad:
        own.register_hook(summed)
    return torch.nn.functional.linear(own, weight_part)


def row_parallel_linear(in_features_part, weight_part):
    mine = torch.nn.functional.linear(in_features_part, weight_part)
    others = summed(mine.detach()) - mine.detach()
    return mine + others
