"""Scatters gradients by assignment: a token that occurs five times in a batch learns from one of them."""

import torch

REJECTED_BY = "test_gradients_of_repeated_tokens_add_up"


class Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, table, ids):
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return table[ids]

    @staticmethod
    def backward(ctx, gradient):
        (ids,) = ctx.saved_tensors
        table = torch.zeros(ctx.shape)
        table[ids.flatten()] = gradient.reshape(-1, ctx.shape[1])
        return table, None


def run_embedding(vocab_size, d_model, weights, token_ids):
    return Lookup.apply(weights, token_ids)
