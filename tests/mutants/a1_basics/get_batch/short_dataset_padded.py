"""Pads a dataset that is too short with zeros: targets that nobody wrote."""

import numpy as np
import torch

REJECTED_BY = "test_too_short_a_dataset_is_refused"


def run_get_batch(dataset, batch_size, context_length, device):
    if len(dataset) <= context_length:
        dataset = np.pad(dataset, (0, context_length + 1 - len(dataset)))
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
