"""Adds eps to the sum, before it is divided by d_model: a thousandth of it is left in a wide model."""

REJECTED_BY = "test_eps_stands_beside_the_mean_square"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    mean_square = (x.square().sum(-1, keepdim=True) + eps) / d_model
    return (x / mean_square.sqrt() * weights).to(in_features.dtype)
