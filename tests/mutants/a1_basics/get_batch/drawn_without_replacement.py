"""Draws different starts only: a batch cannot be larger than the number of starts."""

import numpy as np
import torch

REJECTED_BY = "test_smallest_dataset_has_one_start"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randperm(len(dataset) - context_length)[:batch_size, None].numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
