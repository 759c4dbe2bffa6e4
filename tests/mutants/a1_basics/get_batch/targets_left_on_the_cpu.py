"""Moves x and forgets y: the loss fails on every machine with a GPU, and on no other."""

import numpy as np
import torch

REJECTED_BY = "test_both_tensors_are_on_the_device_asked_for"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64))
    return x, y
