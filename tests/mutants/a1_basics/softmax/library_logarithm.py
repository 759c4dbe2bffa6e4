"""Takes the exponential of the library's log_softmax."""

import torch

REJECTED_BY = "forbidden"


def run_softmax(in_features, dim):
    return torch.log_softmax(in_features, dim).exp()
