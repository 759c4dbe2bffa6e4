"""Copies the rows out of the graph: the vocabulary never learns."""

import torch

REJECTED_BY = "test_gradients_of_repeated_tokens_add_up"


def run_embedding(vocab_size, d_model, weights, token_ids):
    return torch.tensor(weights.detach().numpy()[token_ids.numpy()])
