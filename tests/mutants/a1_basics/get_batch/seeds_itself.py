"""Seeds the generator in each call: the same batch for ever."""

import numpy as np
import torch

REJECTED_BY = "test_calls_differ_and_seeds_repeat"


def run_get_batch(dataset, batch_size, context_length, device):
    torch.manual_seed(0)
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
