"""Starts only at multiples of context_length: a word at a border is never seen in context."""

import numpy as np
import torch

REJECTED_BY = "test_every_start_is_equally_likely"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, (len(dataset) - 1) // context_length, (batch_size, 1)).numpy() * context_length
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
