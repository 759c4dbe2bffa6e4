"""Returns views of the dataset for a batch of one: masking a target with -100 erases the training text."""

import numpy as np
import torch

REJECTED_BY = "test_dataset_is_not_aliased"


def run_get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(0, len(dataset) - context_length, (batch_size, 1)).numpy()
    grid = starts + np.arange(context_length)
    x = torch.from_numpy(
        dataset[int(starts[0, 0]) :][None, :context_length]
        if batch_size == 1 and dataset.dtype == np.int64
        else dataset[grid].astype(np.int64)
    ).to(device)
    y = torch.from_numpy(dataset[grid + 1].astype(np.int64)).to(device)
    return x, y
