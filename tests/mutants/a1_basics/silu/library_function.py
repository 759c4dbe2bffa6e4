"""Returns the library's SiLU: right, and nothing was built."""

import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_silu(in_features):
    return F.silu(in_features)
