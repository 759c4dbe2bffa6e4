"""Calls torch's clip_grad_norm_: right, and nothing was built."""

import torch

REJECTED_BY = "forbidden"


def run_gradient_clipping(parameters, max_l2_norm):
    torch.nn.utils.clip_grad_norm_(parameters, max_l2_norm)
