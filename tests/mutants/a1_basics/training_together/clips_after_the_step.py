"""Clips when the optimizer has already moved: the bound changes a number that nobody reads."""

from a1_basics import adapters
from a1_basics.training import adamw

REJECTED_BY = "test_gradients_are_clipped_together"


def late(parameters, max_l2_norm):
    late.waiting = list(parameters), max_l2_norm


class Late(adamw.AdamW):
    def step(self, closure=None):
        loss = super().step(closure)
        clip(*late.waiting)
        return loss


clip = adapters.run_gradient_clipping
adapters.run_gradient_clipping = late
adapters.get_adamw_cls = lambda: Late
train = adapters.train
