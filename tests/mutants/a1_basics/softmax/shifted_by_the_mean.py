"""Shifts by the mean: right for scores close together, infinite when one stands out."""

REJECTED_BY = "test_scores_far_apart_within_a_row"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.mean(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
