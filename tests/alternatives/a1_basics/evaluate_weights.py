"""Evaluation with a mask for each window, on tokens padded once at the end; everything in torch, in float64."""

import torch

from shared.doors.protocols import Evaluation

SOLVES = ("evaluate",)


def evaluate_model(
    model, tokens, token_bytes, context_length, batch_size=16, stride=None, max_batches=None, on_batch=None
):
    given = len(tokens)
    ids = torch.zeros(given + context_length, dtype=torch.long)
    ids[:given] = torch.tensor([int(token) for token in tokens])
    sizes = torch.tensor([int(size) for size in token_bytes])
    step, place = stride or context_length, torch.arange(context_length)
    windows, counted = [], 0
    while counted < given - 1:
        start = counted - (context_length - step) if counted else 0
        windows.append((start, (place + start >= counted) & (place + start < given - 1)))
        counted = start + context_length
    groups = [windows[at : at + batch_size] for at in range(0, len(windows), batch_size)]
    groups = groups if max_batches is None else groups[:max_batches]
    total, number, text = torch.zeros((), dtype=torch.float64), 0, 0
    for done, group in enumerate(groups, start=1):
        x = torch.stack([ids[start : start + context_length] for start, _ in group])
        y = torch.stack([ids[start + 1 : start + context_length + 1] for start, _ in group])
        new = torch.stack([is_new for _, is_new in group])
        with torch.inference_mode():
            log_p = torch.log_softmax(model(x).double(), dim=-1)
        total += -log_p.gather(2, y.unsqueeze(2)).squeeze(2)[new].sum()
        number += int(new.sum())
        text += int(sizes[y[new]].sum())
        if on_batch is not None:
            on_batch(done, len(groups))
    return Evaluation(total.item(), number, text)
