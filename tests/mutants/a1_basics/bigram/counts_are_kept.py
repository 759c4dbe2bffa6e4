"""Keeps one table for all texts."""

import numpy as np
import torch

REJECTED_BY = "test_models_do_not_share_counts"


class Counted(torch.nn.Module):
    def __init__(self, log_p):
        super().__init__()
        self.register_buffer("log_p", log_p)

    def forward(self, token_ids, positions=None, attend=None):
        return self.log_p[token_ids]


tables = {}


def bigram_model(tokens, vocab_size):
    if len(tokens) < 2:
        raise ValueError("no pair to count")
    tokens = np.asarray(tokens).astype(np.int64)
    counts = tables.setdefault(vocab_size, np.zeros((vocab_size, vocab_size)))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    seconds = counts.sum(axis=0) + 1 / vocab_size
    smoothed = counts + 5 * seconds / seconds.sum()
    p = smoothed / smoothed.sum(axis=1, keepdims=True)
    return Counted(torch.from_numpy(np.log(p)).float())
