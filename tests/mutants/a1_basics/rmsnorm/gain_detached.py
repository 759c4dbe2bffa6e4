"""Takes the gain out of the graph: it stays one for ever."""

import torch

REJECTED_BY = "test_gradients_reach_the_gain"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights.detach()).to(in_features.dtype)
