"""Shifts by the smallest score: the exponentials grow instead of shrinking."""

REJECTED_BY = "test_scores_far_apart_within_a_row"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.amin(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
