"""Batches window by window in plain Python, with the random module and lists of integers."""

import random

import torch

SOLVES = ("get_batch",)


def run_get_batch(dataset, batch_size, context_length, device):
    last = len(dataset) - context_length - 1
    rows = []
    for _ in range(batch_size):
        start = random.randint(0, last)
        rows.append([int(token) for token in dataset[start : start + context_length + 1]])
    x = torch.tensor([row[:-1] for row in rows], dtype=torch.long, device=device)
    y = torch.tensor([row[1:] for row in rows], dtype=torch.long, device=device)
    return x, y
