"""Gives one loss per sequence in place of one number."""

REJECTED_BY = "test_any_leading_dimensions"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    losses = inputs.logsumexp(-1) - target
    return losses.mean(-1) if losses.dim() else losses
