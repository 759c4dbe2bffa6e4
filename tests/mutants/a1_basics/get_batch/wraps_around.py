"""Starts anywhere and goes on at the beginning of the file: examples that no text contains."""

import numpy as np
import torch

REJECTED_BY = "test_every_start_is_equally_likely"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset), (batch_size, 1)).numpy()
    grid = (starts + np.arange(context_length)) % len(dataset)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[(grid + 1) % len(dataset)].astype(np.int64)).to(device)
    return x, y
