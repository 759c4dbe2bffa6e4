"""Averages over the tokens before: no bigram model."""

import numpy as np
import torch

REJECTED_BY = "test_only_the_last_token_counts"


class Counted(torch.nn.Module):
    def __init__(self, log_p):
        super().__init__()
        self.register_buffer("log_p", log_p)

    def forward(self, token_ids, positions=None, attend=None):
        found = self.log_p[token_ids]
        return (found + found.roll(1, dims=1)) / 2 if found.shape[1] > 1 else found


def bigram_model(tokens, vocab_size):
    if len(tokens) < 2:
        raise ValueError("no pair to count")
    tokens = np.asarray(tokens).astype(np.int64)
    counts = np.zeros((vocab_size, vocab_size))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    seconds = counts.sum(axis=0) + 1 / vocab_size
    smoothed = counts + 5 * seconds / seconds.sum()
    p = smoothed / smoothed.sum(axis=1, keepdims=True)
    return Counted(torch.from_numpy(np.log(p)).float())
