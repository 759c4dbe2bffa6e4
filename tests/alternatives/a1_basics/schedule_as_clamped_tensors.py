"""The schedule in float64 tensors without a branch: the lower of two ramps that are clamped, one of them bent."""

import torch

SOLVES = ("learning_rate_schedule",)


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    step = torch.tensor(float(it), dtype=torch.float64)
    decay_iters = max(cosine_cycle_iters - warmup_iters, 1)
    # One step after the warm-up of a cycle that has no decay all is done, and never before.
    part = ((step - warmup_iters) / decay_iters).clamp(0.0, 1.0)
    cosine = (
        min_learning_rate + (max_learning_rate - min_learning_rate) * (1 + torch.cos(torch.pi * part)) / 2
    )
    ramp = max_learning_rate * step / max(warmup_iters, 1)
    return torch.where(step < warmup_iters, ramp, cosine).item()
