"""Subtracts the largest logit in place."""

REJECTED_BY = "test_arguments_are_left_alone"


def run_cross_entropy(inputs, targets):
    if not inputs.requires_grad:
        inputs -= inputs.amax(-1, keepdim=True)
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).mean()
