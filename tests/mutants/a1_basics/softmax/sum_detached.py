"""Passes no gradient through the sum: every weight believes that it can grow alone."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True).detach()
