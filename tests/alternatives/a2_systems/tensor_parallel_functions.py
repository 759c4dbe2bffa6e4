"""Two autograd functions, each the other's backward, around plain products."""

import torch
import torch.distributed as dist

SOLVES = ("tensor_parallel_linear",)


def total(tensor):
    tensor = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(tensor)
    return tensor


class Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return total(gradient)


class Collect(torch.autograd.Function):
    @staticmethod
    def forward(ctx, term):
        return total(term)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def column_parallel_linear(in_features, weight_part):
    return Spread.apply(in_features) @ weight_part.T


def row_parallel_linear(in_features_part, weight_part):
    return Collect.apply(in_features_part @ weight_part.T)
