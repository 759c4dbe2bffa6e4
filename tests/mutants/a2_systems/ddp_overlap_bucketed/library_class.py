"""The library's class."""

import torch

REJECTED_BY = "forbidden"


class Wrapped(torch.nn.parallel.DistributedDataParallel):
    pass


def get_ddp_bucketed(module, bucket_size_mb):
    return Wrapped(module)


def ddp_bucketed_on_after_backward(ddp_model, optimizer):
    pass


def ddp_bucketed_on_train_batch_start(ddp_model, optimizer):
    pass
