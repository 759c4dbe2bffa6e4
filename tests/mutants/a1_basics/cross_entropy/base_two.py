"""Counts in bits."""

import math

REJECTED_BY = "test_two_predictions_by_hand"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).mean() / math.log(2)
