"""Reads the input's memory from its start: right for every fresh tensor, garbage after a transpose."""

REJECTED_BY = "test_input_that_is_no_contiguous_memory"


def run_linear(d_in, d_out, weights, in_features):
    flat = in_features.as_strided((in_features.numel() // d_in, d_in), (d_in, 1))
    return (flat @ weights.T).reshape(*in_features.shape[:-1], d_out)
