"""Smooths by frequencies that are zero for tokens never seen."""

import numpy as np
import torch

REJECTED_BY = "test_nothing_is_impossible"


class Counted(torch.nn.Module):
    def __init__(self, log_p):
        super().__init__()
        self.register_buffer("log_p", log_p)

    def forward(self, token_ids, positions=None, attend=None):
        return self.log_p[token_ids]


def bigram_model(tokens, vocab_size):
    if len(tokens) < 2:
        raise ValueError("no pair to count")
    tokens = np.asarray(tokens).astype(np.int64)
    counts = np.zeros((vocab_size, vocab_size))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    seconds = counts.sum(axis=0)
    smoothed = counts + 5 * seconds / seconds.sum()
    p = smoothed / smoothed.sum(axis=1, keepdims=True)
    return Counted(torch.from_numpy(np.log(p)).float())
