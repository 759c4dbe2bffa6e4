"""Shifts by the largest number of the whole tensor: rows far below it become 0/0."""

REJECTED_BY = "test_rows_far_apart"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.max()).exp()
    return powers / powers.sum(dim, keepdim=True)
