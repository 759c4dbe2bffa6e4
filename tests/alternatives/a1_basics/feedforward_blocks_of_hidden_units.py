"""The feed-forward a few hidden units at a time, their shares added up."""

import torch

SOLVES = ("positionwise_feedforward",)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    result = torch.zeros_like(in_features)
    for start in range(0, d_ff, 4):
        units = slice(start, start + 4)
        gate = in_features @ w1_weight[units].mT
        hidden = gate / (1 + torch.exp(-gate.clamp(min=-80))) * (in_features @ w3_weight[units].mT)
        result = result + hidden @ w2_weight[:, units].mT
    return result
