"""Sums where it should average: the learning rate depends on the batch size."""

REJECTED_BY = "test_two_predictions_by_hand"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).sum()
