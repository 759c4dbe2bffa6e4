"""Widens and never goes back: half-precision values refuse the weights."""

REJECTED_BY = "test_dtype_is_kept"


def run_softmax(in_features, dim):
    x = in_features.float()
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
