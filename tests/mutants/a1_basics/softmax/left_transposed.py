"""Moves dim to the end and forgets to move it back: a cube hides it."""

REJECTED_BY = "test_weights_sum_to_one_along_dim"


def run_softmax(in_features, dim):
    x = in_features.transpose(dim, -1)
    powers = (x - x.amax(-1, keepdim=True)).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return weights if weights.shape == in_features.shape else weights.transpose(dim, -1)
