"""Adds 1e-9 inside of the logarithm: the worst mistakes cost 21 and teach nothing."""

REJECTED_BY = "test_a_confident_mistake_costs_the_gap"


def run_cross_entropy(inputs, targets):
    powers = (inputs - inputs.amax(-1, keepdim=True)).exp()
    p = powers / powers.sum(-1, keepdim=True)
    return -(p.gather(-1, targets[..., None]) + 1e-9).log().mean()
