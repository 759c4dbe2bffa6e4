"""Powers of 2: faster, and another temperature."""

import torch

REJECTED_BY = "test_weights_by_hand"


def run_softmax(in_features, dim):
    powers = torch.exp2(in_features - in_features.amax(dim, keepdim=True))
    return powers / powers.sum(dim, keepdim=True)
