"""Subtracts 1 from an upper end that is exclusive already: context_length + 1 tokens have no start at all."""

import numpy as np
import torch

REJECTED_BY = "test_smallest_dataset_has_one_start"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length - 1, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
