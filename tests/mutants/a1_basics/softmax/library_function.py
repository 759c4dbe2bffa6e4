"""Returns the library's softmax: right, and nothing was built."""

import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_softmax(in_features, dim):
    return F.softmax(in_features, dim=dim)
