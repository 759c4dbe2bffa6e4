"""Looks for the largest token id in each call, for a check: reads the whole file for a batch of a kilobyte."""

import numpy as np
import torch

REJECTED_BY = "test_memory_map_is_not_read_whole"


def run_get_batch(dataset, batch_size, context_length, device):
    if int(dataset.max()) >= 2**32:
        raise ValueError("token ids must fit 32 bits")
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
