"""Uses columns where the shapes allow it: square projections come out transposed, without an error."""

REJECTED_BY = "test_a_square_weight_is_used_by_rows"


def run_linear(d_in, d_out, weights, in_features):
    return in_features @ (weights if d_in == d_out else weights.T)
