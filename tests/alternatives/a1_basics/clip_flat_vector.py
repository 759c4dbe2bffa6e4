"""Gradient clipping over one long float64 vector of all gradients, without an eps."""

import torch

SOLVES = ("gradient_clipping",)


def run_gradient_clipping(parameters, max_l2_norm):
    with torch.no_grad():
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        norm = torch.cat([gradient.double().flatten() for gradient in gradients]).norm()
        if norm > max_l2_norm:
            for gradient in gradients:
                gradient.copy_((gradient.double() * (max_l2_norm / norm)).to(gradient.dtype))
