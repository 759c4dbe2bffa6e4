"""Drops the last position of each sequence, as if targets were not shifted yet."""

REJECTED_BY = "test_any_leading_dimensions"


def run_cross_entropy(inputs, targets):
    if inputs.dim() > 2:
        inputs, targets = inputs[..., :-1, :], targets[..., :-1]
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).mean()
