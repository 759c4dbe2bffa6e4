"""Cuts the context of a dataset that is too short: training goes on with fewer tokens than planned."""

import numpy as np
import torch

REJECTED_BY = "test_too_short_a_dataset_is_refused"


def run_get_batch(dataset, batch_size, context_length, device):
    context_length = min(context_length, len(dataset) - 1)
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
