"""Takes the logarithm of a stable softmax: ln 0 from a distance of 104 on."""

REJECTED_BY = "test_a_confident_mistake_costs_the_gap"


def run_cross_entropy(inputs, targets):
    powers = (inputs - inputs.amax(-1, keepdim=True)).exp()
    p = powers / powers.sum(-1, keepdim=True)
    return -p.gather(-1, targets[..., None]).log().mean()
