"""Looks up under no_grad: the vocabulary never learns."""

import torch

REJECTED_BY = "test_gradients_of_repeated_tokens_add_up"


@torch.no_grad()
def run_embedding(vocab_size, d_model, weights, token_ids):
    return weights[token_ids]
