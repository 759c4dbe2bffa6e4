"""Logits only where a token is drawn: the output projection is the widest of all, and a prompt needs it once."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shared.doors.protocols import Attend


def logits_at(
    model: nn.Module,
    token_ids: Int[Tensor, "1 tokens"],
    positions: Int[Tensor, "1 tokens"],
    attend: Attend,
    rows: Sequence[int],
) -> Float[Tensor, "rows vocab"]:
    """The logits after the tokens at `rows`; a model in one piece, without `features` and `logits`, computes all."""
    at = torch.tensor(rows, dtype=torch.long, device=token_ids.device)
    features: Any = getattr(model, "features", None)
    logits: Any = getattr(model, "logits", None)
    if features is not None and logits is not None:
        return logits(features(token_ids, positions, attend)[:, at])[0]
    every: Tensor = model(token_ids, positions, attend)
    return every[0, at]
