"""The library's class."""

import torch

REJECTED_BY = "forbidden"


class Wrapped(torch.nn.parallel.DistributedDataParallel):
    pass


def get_ddp(module):
    return Wrapped(module)


def ddp_on_after_backward(ddp_model, optimizer):
    pass
