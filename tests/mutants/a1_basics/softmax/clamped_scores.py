"""Clamps what lies more than 50 below the largest: rare tokens get the wrong probability."""

REJECTED_BY = "test_small_weights_are_not_lost"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.amax(dim, keepdim=True)).clamp(min=-50).exp()
    return powers / powers.sum(dim, keepdim=True)
