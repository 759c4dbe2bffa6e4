"""Writes the rate into the first parameter group: the others keep the maximum."""

from a1_basics import adapters
from a1_basics.training import adamw

REJECTED_BY = "test_rate_follows_the_schedule"


class FirstGroupOnly(adamw.AdamW):
    def step(self, closure=None):
        for group in self.param_groups[1:]:
            group["lr"] = self.defaults["lr"]
        return super().step(closure)


adapters.get_adamw_cls = lambda: FirstGroupOnly
train = adapters.train
