"""Evaluating on several ranks: each predicts its share of the held-out text, and all know the sum."""

from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist

from shared.doors.protocols import Evaluation
from shared.runs.ranks import Ranks


def evaluate_on_ranks(
    evaluate: Callable[[np.ndarray], Evaluation],
    tokens: np.ndarray,
    context_length: int,
    batch_size: int,
    num_batches: int,
    ranks: Ranks,
) -> Evaluation:
    """The first `num_batches` batches of whole windows, dealt out to the ranks; the same number on any number of ranks.

    What each batch gave is added up in the order of the text. All ranks make as many forward passes, for a sharded
    model talks in them: one that has no batch left takes the first again, which does not count twice.
    """
    span = batch_size * context_length
    starts = range(0, max(len(tokens) - 1, 1), span)[:num_batches]
    found = torch.zeros(len(starts), 3, dtype=torch.float64)
    for turn in range(0, len(starts), ranks.num_ranks):
        which = turn + ranks.rank
        start = starts[which] if which < len(starts) else 0
        batch = evaluate(tokens[start : start + span + 1])
        if which < len(starts):
            found[which] = torch.tensor([batch.nats, batch.tokens, batch.num_bytes], dtype=torch.float64)
    if ranks.num_ranks > 1:
        found = found.to("cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(found)  # each row is one rank's, and zeros elsewhere: nothing is rounded
    nats, num_tokens, num_bytes = (sum(column, 0.0) for column in found.T.tolist())
    return Evaluation(nats, int(num_tokens), int(num_bytes))
