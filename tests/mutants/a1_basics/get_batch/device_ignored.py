"""Leaves both tensors on the CPU, whatever device is asked for."""

import numpy as np
import torch

REJECTED_BY = "test_wrong_device_raises"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64))
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64))
    return x, y
