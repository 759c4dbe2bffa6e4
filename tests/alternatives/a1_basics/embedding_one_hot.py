"""The embedding as a product of one-hot rows with the table."""

import torch

SOLVES = ("embedding",)


def run_embedding(vocab_size, d_model, weights, token_ids):
    one_hot = (token_ids[..., None] == torch.arange(vocab_size)).to(weights.dtype)
    return one_hot @ weights
