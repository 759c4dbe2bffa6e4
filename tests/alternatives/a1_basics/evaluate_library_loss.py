"""Evaluation with torch's own loss: a generator gives windows, and targets that do not count are marked as such."""

from itertools import islice

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from shared.doors.protocols import Evaluation

SOLVES = ("evaluate",)
NOT_COUNTED = -100


def windows(tokens, context_length, stride):
    """Inputs and targets of a whole window each."""
    start, known = 0, 1
    while known < len(tokens):
        x = np.zeros(context_length, dtype=np.int64)
        y = np.full(context_length, NOT_COUNTED, dtype=np.int64)
        inside = tokens[start : start + context_length + 1]
        x[: len(inside) - 1] = inside[:-1]
        y[known - start - 1 : len(inside) - 1] = inside[known - start :]
        yield x, y
        known, start = start + len(inside), start + stride


def evaluate_model(
    model, tokens, token_bytes, context_length, batch_size=16, stride=None, max_batches=None, on_batch=None
):
    stride, bytes_of = stride or context_length, np.asarray(token_bytes, dtype=np.int64)
    whole = sum(1 for _ in windows(tokens, context_length, stride))
    num_batches = -(-whole // batch_size)
    num_batches = num_batches if max_batches is None else min(num_batches, max_batches)
    source, found = windows(tokens, context_length, stride), Evaluation(0.0, 0, 0)
    for done in range(1, num_batches + 1):
        x, y = (torch.from_numpy(np.stack(part)) for part in zip(*islice(source, batch_size), strict=True))
        with torch.no_grad():
            logits = model(x)
        nats = cross_entropy(
            logits.double().flatten(0, 1), y.flatten(), ignore_index=NOT_COUNTED, reduction="sum"
        )
        counted = y[y != NOT_COUNTED].numpy()
        found = Evaluation(
            found.nats + float(nats),
            found.tokens + len(counted),
            found.num_bytes + int(bytes_of[counted].sum()),
        )
        if on_batch is not None:
            on_batch(done, num_batches)
    return found
