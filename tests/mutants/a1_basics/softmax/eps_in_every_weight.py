"""Adds 1e-9 to each exponential against a division by zero that cannot happen."""

REJECTED_BY = "test_small_weights_are_not_lost"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.amax(dim, keepdim=True)).exp() + 1e-9
    return powers / powers.sum(dim, keepdim=True)
