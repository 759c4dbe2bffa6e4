"""The feed-forward traced by torch.compile, with memory of its own written in place."""

import torch

SOLVES = ("positionwise_feedforward",)


@torch.compile(backend="aot_eager", dynamic=True)
def feed_forward(x, w1, w2, w3):
    gate = x @ w1.T
    hidden = gate * torch.sigmoid(gate)
    hidden *= x @ w3.T
    return hidden @ w2.T


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    return feed_forward(in_features, w1_weight, w2_weight, w3_weight)
