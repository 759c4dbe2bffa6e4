"""RMSNorm with a gradient worked out by hand."""

import torch

SOLVES = ("rmsnorm",)


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain, eps):
        wide = x.float()
        scale = (wide.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(wide, gain, scale)
        return (wide * scale * gain).type_as(x)

    @staticmethod
    def backward(ctx, gradient):
        wide, gain, scale = ctx.saved_tensors
        normed, inner = wide * scale, gradient.float() * gain
        of_gain = (gradient.float() * normed).flatten(0, -2).sum(0)
        of_x = scale * (inner - normed * (inner * normed).mean(-1, keepdim=True))
        return of_x.type_as(gradient), of_gain, None


def run_rmsnorm(d_model, eps, weights, in_features):
    return RMSNorm.apply(in_features, weights, eps)
