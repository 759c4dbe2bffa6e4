"""A module that stores the transposed weight, as a later edition of the public handout advises."""

import torch

SOLVES = ("linear",)


class Linear(torch.nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.transposed = torch.nn.Parameter(torch.empty(d_in, d_out))

    def forward(self, x):
        return x @ self.transposed


def run_linear(d_in, d_out, weights, in_features):
    layer = Linear(d_in, d_out)
    layer.transposed.data = weights.detach().T.contiguous()
    return layer(in_features)
