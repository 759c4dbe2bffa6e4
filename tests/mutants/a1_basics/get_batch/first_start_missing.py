"""Starts at 1: the first token is never read."""

import numpy as np
import torch

REJECTED_BY = "test_every_start_is_equally_likely"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = (
        torch.randint(1, max(2, len(dataset) - context_length), (batch_size, 1))
        .clamp(max=len(dataset) - context_length - 1)
        .numpy()
    )
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
