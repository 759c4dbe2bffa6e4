"""Draws windows at random when it may not see all: every evaluation looks at another part."""

import numpy as np
import torch

from shared.doors.protocols import Evaluation

REJECTED_BY = "test_max_batches_stops_early"


@torch.no_grad()
def evaluate_model(
    model, tokens, token_bytes, context_length, batch_size=16, stride=None, max_batches=None, on_batch=None
):
    stride = stride or context_length
    last = len(tokens) - 1
    spans, done = [], 0
    while done < last:
        start = 0 if done == 0 else done - (context_length - stride)
        end = min(start + context_length, last)
        spans.append((start, done, end))
        done = end
    if max_batches:
        spans = [spans[i] for i in np.random.default_rng().permutation(len(spans))]
    batches = [spans[i : i + batch_size] for i in range(0, len(spans), batch_size)][:max_batches]
    nats, count, num_bytes = 0.0, 0, 0
    for number, batch in enumerate(batches, 1):
        ids = np.zeros((len(batch), context_length + 1), dtype=np.int64)
        for row, (start, _, end) in enumerate(batch):
            ids[row, : end + 1 - start] = tokens[start : end + 1]
        logits = model(torch.from_numpy(ids[:, :-1])).float()
        losses = torch.logsumexp(logits, -1) - logits.gather(-1, torch.from_numpy(ids[:, 1:, None]))[..., 0]
        for row, (start, first, end) in enumerate(batch):
            nats += losses[row, first - start : end - start].double().sum().item()
            count += end - first
            num_bytes += int(token_bytes[ids[row, first - start + 1 : end - start + 1]].sum())
        if on_batch:
            on_batch(number, len(batches))
    return Evaluation(nats, count, num_bytes)
