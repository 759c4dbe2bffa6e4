"""Flattens with .view(): right for every fresh tensor, an error after any transpose."""

REJECTED_BY = "test_input_that_is_no_contiguous_memory"


def run_linear(d_in, d_out, weights, in_features):
    return (in_features.view(-1, d_in) @ weights.T).view(*in_features.shape[:-1], d_out)
