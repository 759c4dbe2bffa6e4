"""One random start for the batch; the rows follow it token by token: nearly the same example, many times."""

import numpy as np
import torch

REJECTED_BY = "test_rows_are_drawn_independently"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = (
        (int(torch.randint(0, len(dataset) - context_length, ())) + np.arange(batch_size))
        % (len(dataset) - context_length)
    )[:, None]
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(dataset[grid].astype(np.int64)).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
