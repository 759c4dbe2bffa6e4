"""Gradient clipping with the norm as a Python number, and the gradients' data written by slices."""

import math

SOLVES = ("gradient_clipping",)


def run_gradient_clipping(parameters, max_l2_norm):
    kept = [p for p in parameters if getattr(p, "grad", None) is not None]
    norm = math.sqrt(math.fsum(float(p.grad.detach().double().square().sum()) for p in kept))
    if norm <= max_l2_norm:
        return
    for p in kept:
        p.grad.data[...] *= max_l2_norm / (norm + 1e-6)
