"""Uses the library's SiLU, which is a problem of its own."""

import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = F.silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    return hidden @ w2_weight.T
