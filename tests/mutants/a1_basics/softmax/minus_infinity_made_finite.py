"""Puts -1e4 in place of minus infinity: masked keys win where all others are lower."""

REJECTED_BY = "test_minus_infinity_gets_no_weight"


def run_softmax(in_features, dim):
    x = in_features.nan_to_num(neginf=-1e4)
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
