"""Adds eps outside of the root: invisible at usual sizes, ten times too large a result for small vectors."""

REJECTED_BY = "test_eps_stands_beside_the_mean_square"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * weights).to(in_features.dtype)
