"""Falls back to the CPU without a word when the device is not there: an hour becomes a week."""

import numpy as np
import torch

REJECTED_BY = "test_wrong_device_raises"


def run_get_batch(dataset, batch_size, context_length, device):
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        device = "cpu"
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
