"""Returns torch's AdamW: right, and nothing was built."""

import torch

REJECTED_BY = "forbidden"


def get_adamw_cls():
    return torch.optim.AdamW
