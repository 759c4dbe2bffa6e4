"""Draws from a fresh generator that nobody can seed: no run can be repeated or resumed."""

import numpy as np
import torch

REJECTED_BY = "test_calls_differ_and_seeds_repeat"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = np.random.default_rng().integers(0, len(dataset) - context_length, (batch_size, 1))
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
