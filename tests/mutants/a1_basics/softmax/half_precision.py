"""Computes in float16: three digits of each weight."""

REJECTED_BY = "test_weights_sum_to_one_along_dim"


def run_softmax(in_features, dim):
    x = in_features.half()
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return (powers / powers.sum(dim, keepdim=True)).to(in_features.dtype)
