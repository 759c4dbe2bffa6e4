"""Averages over the first dimension and sums over the sequence."""

REJECTED_BY = "test_any_leading_dimensions"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    losses = inputs.logsumexp(-1) - target
    return losses.sum() / (losses.shape[0] if losses.dim() else 1)
