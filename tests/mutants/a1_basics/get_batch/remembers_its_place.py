"""Reads the dataset in order from a place it remembers: no seed brings a batch back."""

import numpy as np
import torch

REJECTED_BY = "test_calls_differ_and_seeds_repeat"


PLACE = [0]


def run_get_batch(dataset, batch_size, context_length, device):
    starts = (PLACE[0] + np.arange(batch_size)[:, None] * 7) % (len(dataset) - context_length)
    grid = starts + np.arange(context_length)
    PLACE[0] += 1
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
