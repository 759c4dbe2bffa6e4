"""Returns positions and never looks into the dataset, which a test on arange cannot tell."""

import numpy as np
import torch

REJECTED_BY = "test_targets_are_the_next_tokens"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(grid).to(device)
    y = torch.from_numpy(grid + 1).to(device)
    return x, y
