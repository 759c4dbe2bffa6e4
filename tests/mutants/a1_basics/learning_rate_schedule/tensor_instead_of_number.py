"""Returns a tensor: param_groups, logs and checkpoints then hold tensors."""

import math

import torch

REJECTED_BY = "test_rate_is_a_plain_number"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return torch.tensor(min_learning_rate + cosine * (max_learning_rate - min_learning_rate))
