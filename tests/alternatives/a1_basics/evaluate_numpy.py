"""Evaluation whose sums are numpy's, in place and in float64: places are counted by a table of windows and offsets."""

import numpy as np
import torch

from shared.doors.protocols import Evaluation

SOLVES = ("evaluate",)


def evaluate_model(
    model, tokens, token_bytes, context_length, batch_size=16, stride=None, max_batches=None, on_batch=None
):
    stride, last = stride or context_length, len(tokens) - 1
    num_windows = 1 + max(0, -(-(last - context_length) // stride)) if last > 0 else 0
    places = np.arange(num_windows)[:, None] * stride + np.arange(context_length)
    # A window after the first predicts anew only its last `stride` tokens.
    is_new = np.broadcast_to(np.arange(context_length) >= context_length - stride, places.shape).copy()
    is_new[:1] = True
    is_new &= places < last
    num_batches = -(-num_windows // batch_size)
    num_batches = num_batches if max_batches is None else min(num_batches, max_batches)
    rows = slice(0, num_batches * batch_size)
    ids = np.asarray(tokens).astype(np.int64)
    targets = ids[np.minimum(places[rows] + 1, max(last, 0))]
    losses = np.zeros(targets.shape)
    for batch in range(num_batches):
        now = slice(batch * batch_size, (batch + 1) * batch_size)
        inputs = ids[np.minimum(places[rows][now], max(last, 0))]
        with torch.inference_mode():
            logits = model(torch.from_numpy(inputs)).double().numpy().copy()
        logits -= logits.max(axis=-1, keepdims=True)
        of_target = np.take_along_axis(logits, targets[now][..., None], axis=-1)[..., 0]
        np.exp(logits, out=logits)
        losses[now] = np.log(logits.sum(axis=-1)) - of_target
        if on_batch is not None:
            on_batch(batch + 1, num_batches)
    counted = is_new[rows]
    sizes = np.asarray(token_bytes, dtype=np.int64)[targets[counted]]
    return Evaluation(float(losses[counted].sum()), int(counted.sum()), int(sizes.sum()))
