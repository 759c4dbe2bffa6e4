"""Takes the weight's numbers out of the graph: all layers learn but this one."""

REJECTED_BY = "test_gradients_reach_the_weight"


def run_linear(d_in, d_out, weights, in_features):
    return in_features @ weights.data.T
