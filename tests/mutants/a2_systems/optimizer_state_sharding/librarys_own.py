"""The library's optimizer of this kind."""

from torch.distributed.optim import ZeroRedundancyOptimizer

REJECTED_BY = "forbidden"


def get_sharded_optimizer(params, optimizer_cls, **kwargs):
    return ZeroRedundancyOptimizer(list(params), optimizer_class=optimizer_cls, **kwargs)
