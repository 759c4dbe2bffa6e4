"""Batches as nanoGPT makes them: a tensor per slice, stacked; starts from a uniform number between 0 and 1."""

import numpy as np
import torch

SOLVES = ("get_batch",)


def run_get_batch(dataset, batch_size, context_length, device):
    if len(dataset) <= context_length:
        raise ValueError(f"{len(dataset)} tokens are too few for context_length={context_length}")
    starts = (torch.rand(batch_size, dtype=torch.float64) * (len(dataset) - context_length)).long().tolist()
    x = torch.stack([torch.from_numpy(np.array(dataset[i : i + context_length], np.int64)) for i in starts])
    y = torch.stack(
        [torch.from_numpy(np.array(dataset[i + 1 : i + 1 + context_length], np.int64)) for i in starts]
    )
    return x.to(device), y.to(device)
