"""Converts through int16: token 40000 becomes -25536."""

import numpy as np
import torch

REJECTED_BY = "test_large_token_ids_survive"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int16)).long().to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int16)).long().to(device)
    return x, y
