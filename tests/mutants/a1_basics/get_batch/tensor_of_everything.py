"""Makes a tensor of the whole dataset in each call."""

import torch

REJECTED_BY = "test_memory_map_is_not_read_whole"


def run_get_batch(dataset, batch_size, context_length, device):
    tokens = torch.tensor(dataset, dtype=torch.int32)
    starts = torch.randint(0, len(tokens) - context_length, (batch_size, 1))
    grid = starts + torch.arange(context_length)
    return tokens[grid].long().to(device), tokens[grid + 1].long().to(device)
