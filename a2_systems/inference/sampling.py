"""From logits to the next token: penalties, temperature, cuts, and a draw that nothing but its request decides.

`token_distribution` is the clear version, one request at a time; `token_distributions` does a batch, each row with its
own settings. The order is that of Hugging Face's processors: repetition penalty, temperature, top-k, top-p, min-p.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shared.doors.inference import SamplingParams


def token_distribution(
    logits: Float[Tensor, "vocab"], params: SamplingParams, earlier: Sequence[int]
) -> Float[Tensor, "vocab"]:
    """What one request's next token is drawn from, after the tokens `earlier`; greedy puts all on one token.

    Each cut renormalizes what it leaves. Top-p keeps the token that crosses the bound, so that one always stays.

    Source: [ctrl-2019] section 4.1 (penalty), [nucleus-2020] section 3.1 (top-p), [min-p-2024] section 3.
    """
    logits = logits.float()
    if params.repetition_penalty != 1:
        tokens = torch.as_tensor(earlier, dtype=torch.long, device=logits.device)
        seen = logits[tokens]
        # Towards less probable on either side of zero.
        lowered = torch.where(seen > 0, seen / params.repetition_penalty, seen * params.repetition_penalty)
        logits = logits.scatter(0, tokens, lowered)
    if params.temperature == 0:
        return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
    probabilities = torch.softmax(logits / params.temperature, dim=-1)
    descending, order = probabilities.sort(descending=True, stable=True)
    if params.top_k is not None:
        descending[params.top_k :] = 0
        descending /= descending.sum()
    if params.top_p is not None:
        mass_before = descending.cumsum(-1) - descending
        descending[mass_before >= params.top_p] = 0
        descending /= descending.sum()
    if params.min_p is not None:
        descending[descending < params.min_p * descending[0]] = 0
        descending /= descending.sum()
    return torch.zeros_like(probabilities).scatter(0, order, descending)


def token_distributions(
    logits: Float[Tensor, "batch vocab"],
    params: Sequence[SamplingParams],
    earlier: Sequence[Sequence[int]],
) -> Float[Tensor, "batch vocab"]:
    """`token_distribution` of every row, in operations over the whole batch; what nobody asks for is not computed."""
    logits = logits.float()
    penalties = [each.repetition_penalty for each in params]
    if any(penalty != 1 for penalty in penalties):
        logits = logits.clone()
        for row, (penalty, tokens) in enumerate(zip(penalties, earlier, strict=True)):
            if penalty != 1:
                at = torch.as_tensor(tokens, dtype=torch.long, device=logits.device)
                seen = logits[row, at]
                logits[row, at] = torch.where(seen > 0, seen / penalty, seen * penalty)
    vocab = logits.shape[-1]
    greedy = _column([each.temperature == 0 for each in params], logits)
    best = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    if all(each.temperature == 0 for each in params):
        return best
    temperatures = _column([each.temperature or 1.0 for each in params], logits)
    probabilities = torch.softmax(logits / temperatures, dim=-1)
    if any(each.top_k or each.top_p or each.min_p for each in params):
        descending, order = probabilities.sort(dim=-1, descending=True, stable=True)
        if any(each.top_k for each in params):
            kept = _column([each.top_k or vocab for each in params], logits)
            descending = _renormalized(descending, torch.arange(vocab, device=logits.device) < kept)
        if any(each.top_p for each in params):
            bounds = _column([each.top_p or torch.inf for each in params], logits)
            descending = _renormalized(descending, descending.cumsum(-1) - descending < bounds)
        if any(each.min_p for each in params):
            floors = _column([each.min_p or 0.0 for each in params], logits) * descending[:, :1]
            descending = _renormalized(descending, descending >= floors)
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, descending)
    return torch.where(greedy, best, probabilities)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)[:, None]


def _renormalized(probabilities: Tensor, is_kept: Tensor) -> Tensor:
    kept = probabilities * is_kept
    return kept / kept.sum(-1, keepdim=True)


def draw_number(seed: int, position: int, purpose: int = 0) -> float:
    """A number in [0, 1) for one draw of one request.

    It depends on nothing else: not on who else is served, nor on how often the request was put off and begun again.
    """
    return float(
        np.random.Generator(np.random.Philox(key=seed % 2**63, counter=[position, purpose, 0, 0])).random()
    )


def drawn_tokens(
    distributions: Float[Tensor, "batch vocab"], numbers: Sequence[float]
) -> Int[Tensor, "batch"]:
    """The token in whose stretch of the cumulated distribution each number falls.

    In float64, for in float32 a sum over a large vocabulary may end below the largest number that can be drawn. A token
    of probability zero has no stretch.
    """
    cumulated = distributions.double().cumsum(-1)
    wanted = (
        torch.tensor(numbers, dtype=torch.float64, device=distributions.device)[:, None] * cumulated[:, -1:]
    )
    return torch.searchsorted(cumulated, wanted, right=True)[:, 0]
