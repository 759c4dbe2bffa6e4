"""How well a model predicts held-out text: nats per token, and bits per byte for comparison across tokenizers."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shared.doors.protocols import Attend, Evaluation


def token_nats(
    logits: Float[Tensor, "batch seq vocab"], targets: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq"]:
    """Negative log-probability of each target."""
    logits = logits.float()
    return torch.logsumexp(logits, dim=-1) - logits.gather(-1, targets[..., None])[..., 0]


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    tokens: np.ndarray,
    token_bytes: Int[np.ndarray, "vocab"],
    context_length: int,
    batch_size: int = 16,
    stride: int | None = None,
    max_batches: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    attend: Attend | None = None,
) -> Evaluation:
    """Predict every token of the array but the first once, each from at least `context_length - stride` others.

    Windows of `context_length` advance by `stride` (default: a whole window, the cheapest) and count only what no
    earlier window counted. `token_bytes[id]` is the length of the token's text. `on_batch(done, total)` is told of
    progress; `attend` is the attention to call the model with (None: its own).
    """
    slots = {} if attend is None else {"attend": attend}  # a bigram, for one, has no such slot
    stride = stride or context_length
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), "cpu")
    starts = np.arange(0, max(len(tokens) - 1 - (context_length - stride), 1), stride)
    batches = [starts[first : first + batch_size] for first in range(0, len(starts), batch_size)][
        :max_batches
    ]
    total_nats, num_tokens, num_bytes = 0.0, 0, 0
    for index, batch in enumerate(batches):
        windows = np.zeros((len(batch), context_length + 1), dtype=np.int64)
        counted = np.zeros((len(batch), context_length), dtype=bool)
        for row, start in enumerate(batch):
            piece = np.asarray(tokens[start : start + context_length + 1])
            windows[row, : len(piece)] = piece
            counted[row, 0 if start == 0 else context_length - stride : len(piece) - 1] = True
        ids = torch.from_numpy(windows).to(device)
        nats = token_nats(model(ids[:, :-1], **slots), ids[:, 1:]).double().cpu().numpy()
        total_nats += float(nats[counted].sum())
        num_tokens += int(counted.sum())
        num_bytes += int(token_bytes[windows[:, 1:][counted]].sum())
        if on_batch:
            on_batch(index + 1, len(batches))
    return Evaluation(total_nats, num_tokens, num_bytes)
