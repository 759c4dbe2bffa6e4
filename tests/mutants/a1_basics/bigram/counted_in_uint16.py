"""Counts a * vocab_size + b in the tokens' own type: ids above 255 wrap around."""

import numpy as np
import torch

REJECTED_BY = "test_large_token_ids_do_not_overflow"


class Counted(torch.nn.Module):
    def __init__(self, log_p):
        super().__init__()
        self.register_buffer("log_p", log_p)

    def forward(self, token_ids, positions=None, attend=None):
        return self.log_p[token_ids]


def bigram_model(tokens, vocab_size):
    if len(tokens) < 2:
        raise ValueError("no pair to count")
    tokens = np.asarray(tokens).astype(np.uint16)
    counts = np.zeros((vocab_size, vocab_size))
    pairs = tokens[:-1] * np.uint16(vocab_size) + tokens[1:]
    np.add.at(counts.reshape(-1), pairs.astype(np.int64), 1)
    seconds = counts.sum(axis=0) + 1 / vocab_size
    smoothed = counts + 5 * seconds / seconds.sum()
    p = smoothed / smoothed.sum(axis=1, keepdims=True)
    return Counted(torch.from_numpy(np.log(p)).float())
