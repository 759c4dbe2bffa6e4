"""Computes in bfloat16: two digits."""

REJECTED_BY = "test_every_prediction_counts_once"


def run_cross_entropy(inputs, targets):
    inputs = inputs.bfloat16().float()
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).mean().bfloat16().float()
