"""Right numbers without a gradient: queries and keys never learn."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def run_softmax(in_features, dim):
    x = in_features.detach()
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
