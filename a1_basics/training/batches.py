"""Batches of training sequences, cut at random places from one long array of token ids."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shared.errors import DataError


def random_batch(
    tokens: np.ndarray,
    batch_size: int,
    context_length: int,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Sequences that start uniformly anywhere a full one fits, and the same sequences one token later.

    `tokens` may be memory-mapped: only the windows asked for are read. `generator` None draws from torch's global one.

    Raises:
        DataError: the array is too short for one sequence and its next token.
    """
    num_starts = len(tokens) - context_length
    if num_starts < 1:
        raise DataError(
            f"{len(tokens):,} tokens cannot hold one sequence of context_length={context_length} and its next token; "
            "use a longer corpus or a shorter context"
        )
    starts = torch.randint(num_starts, (batch_size,), generator=generator).numpy()
    windows = np.stack([np.asarray(tokens[start : start + context_length + 1]) for start in starts])
    batch = torch.from_numpy(windows.astype(np.int64)).to(device)
    return batch[:, :-1], batch[:, 1:]
