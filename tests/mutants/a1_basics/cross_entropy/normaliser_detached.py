"""Passes no gradient through the sum: the target's logit grows without end."""

REJECTED_BY = "test_the_gradient_is_probability_minus_target"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1).detach() - target).mean()
