"""Batches through a strided view: every window of the dataset exists as a row, and no row is copied until chosen."""

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

SOLVES = ("get_batch",)


def run_get_batch(dataset, batch_size, context_length, device):
    windows = sliding_window_view(dataset, context_length + 1)
    starts = np.random.randint(0, len(windows), size=batch_size)  # noqa: NPY002 - the generator the caller seeds
    rows = windows[starts].astype(np.int64)
    both = torch.tensor(rows, device=device)
    return both[:, :-1], both[:, 1:]
