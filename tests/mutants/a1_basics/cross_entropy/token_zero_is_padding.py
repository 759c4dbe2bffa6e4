"""Leaves target 0 out of the mean, as if it were padding."""

REJECTED_BY = "test_tokens_may_be_renamed"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    losses, counts = inputs.logsumexp(-1) - target, (targets != 0).to(inputs.dtype)
    return (losses * counts).sum() / counts.sum().clamp(min=1)
