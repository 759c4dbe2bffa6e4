"""One random start for all rows of a batch."""

import numpy as np
import torch

REJECTED_BY = "test_rows_are_drawn_independently"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = np.full((batch_size, 1), int(torch.randint(0, len(dataset) - context_length, ())))
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
