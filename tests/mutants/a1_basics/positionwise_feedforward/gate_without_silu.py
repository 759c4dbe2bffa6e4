"""Multiplies gate and content without bending the gate: a bilinear layer."""

REJECTED_BY = "test_one_hidden_unit_by_hand"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = (in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    return hidden @ w2_weight.T
