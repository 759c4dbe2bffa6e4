"""Averages two random numbers: the middle of the text is read far more often than its ends."""

import numpy as np
import torch

REJECTED_BY = "test_every_start_is_equally_likely"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = (
        torch.randint(0, len(dataset) - context_length, (batch_size, 2)).sum(dim=1, keepdim=True) // 2
    ).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
