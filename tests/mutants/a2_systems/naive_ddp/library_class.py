"""The library's class."""

import torch

REJECTED_BY = "forbidden"


class Wrapped(torch.nn.parallel.DistributedDataParallel):
    pass


def get_naive_ddp(module):
    return Wrapped(module)


def naive_ddp_on_after_backward(ddp_model, optimizer):
    pass
