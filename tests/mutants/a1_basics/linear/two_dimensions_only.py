"""Takes exactly (batch, seq, d_in): a single vector, or a heads dimension, fails."""

REJECTED_BY = "test_any_leading_dimensions"


def run_linear(d_in, d_out, weights, in_features):
    batch, seq, _ = in_features.shape
    return (in_features.reshape(batch * seq, d_in) @ weights.T).reshape(batch, seq, d_out)
