"""Clips each parameter by itself: the step turns."""

from a1_basics import adapters

REJECTED_BY = "test_gradients_are_clipped_together"


def each(parameters, max_l2_norm):
    for parameter in parameters:
        clip([parameter], max_l2_norm)


clip = adapters.run_gradient_clipping
adapters.run_gradient_clipping = each
train = adapters.train
