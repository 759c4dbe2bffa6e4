"""Divides each row by its length: a layer that exists, under another name."""

REJECTED_BY = "test_each_output_is_a_row_times_the_input"


def run_linear(d_in, d_out, weights, in_features):
    return in_features @ (weights / weights.norm(dim=1, keepdim=True)).T
