"""Uses the library's linear layer, which is a problem of its own."""

import torch
import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = F.linear(in_features, w1_weight)
    return F.linear(hidden * torch.sigmoid(hidden) * F.linear(in_features, w3_weight), w2_weight)
