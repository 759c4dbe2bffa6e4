"""One softmax over all numbers of the tensor."""

REJECTED_BY = "test_weights_sum_to_one_along_dim"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.max()).exp()
    return powers / powers.sum()
