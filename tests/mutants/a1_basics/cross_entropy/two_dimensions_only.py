"""Takes exactly (batch, vocab): a model's (batch, seq, vocab) fails."""

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_cross_entropy(inputs, targets):
    batch, _ = inputs.shape
    return (inputs.logsumexp(-1) - inputs[torch.arange(batch), targets]).mean()
