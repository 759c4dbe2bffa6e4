"""Brings every gradient to the bound, small ones too."""

from a1_basics import adapters

REJECTED_BY = "test_gradients_are_clipped_together"


def to_the_bound(parameters, max_l2_norm):
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = sum((g**2).sum() for g in gradients) ** 0.5
    for g in gradients:
        g.mul_(max_l2_norm / (norm + 1e-6))


adapters.run_gradient_clipping = to_the_bound
train = adapters.train
