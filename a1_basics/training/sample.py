"""Sampling text from a language model, one token at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.layers import softmax


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits."""

    temperature: float = 1.0  # 0 takes the most probable token, above 1 flattens the distribution
    top_k: int | None = None  # keep only the k most probable tokens
    top_p: float | None = None  # keep the fewest tokens whose probabilities sum to at least p


def next_token_probabilities(
    logits: Float[Tensor, "batch vocab"], sampling: Sampling
) -> Float[Tensor, "batch vocab"]:
    """The distribution that the next token is drawn from: temperature first, then top-k, then top-p.

    Top-p keeps the token that crosses the bound, so that at least one always stays.

    Raises:
        ValueError: a setting outside its range.
    Source: [nucleus-2020] section 3.1 (top-p).
    """
    if sampling.temperature < 0 or (sampling.top_k is not None and sampling.top_k < 1):
        raise ValueError(f"temperature must be >= 0 and top_k >= 1, got {sampling}")
    if sampling.top_p is not None and not 0 < sampling.top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {sampling.top_p}")
    logits = logits.float()
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    probabilities = softmax(logits / sampling.temperature, dim=-1)
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        kept = probabilities.topk(sampling.top_k, dim=-1)
        probabilities = torch.zeros_like(probabilities).scatter_(-1, kept.indices, kept.values)
        probabilities /= probabilities.sum(dim=-1, keepdim=True)
    if sampling.top_p is not None and sampling.top_p < 1:
        descending, order = probabilities.sort(dim=-1, descending=True, stable=True)
        mass_before = descending.cumsum(dim=-1) - descending
        descending = descending.masked_fill(mass_before >= sampling.top_p, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter_(-1, order, descending)
        probabilities /= probabilities.sum(dim=-1, keepdim=True)
    return probabilities


def sample_tokens(
    model: nn.Module,
    prompt: Int[Tensor, "seq"],
    *,
    max_new_tokens: int,
    context_length: int,
    sampling: Sampling,
    generator: torch.Generator,
    end_token: int | None = None,
) -> Iterator[int]:
    """New tokens after `prompt`, until `end_token` (which is yielded) or `max_new_tokens`.

    The model sees at most the last `context_length` tokens. Each token costs a pass over all of them: stage 2's
    engine keeps keys and values instead.
    """
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    tokens = prompt[None].to(device)
    for _ in range(max_new_tokens):
        with torch.inference_mode():  # left before the yield: the caller's own mode is its own
            logits = model(tokens[:, -context_length:])[:, -1]
            probabilities = next_token_probabilities(logits, sampling).cpu()
            token = torch.multinomial(probabilities, 1, generator=generator)
        yield int(token)
        if int(token) == end_token:
            return
        tokens = torch.cat((tokens, token.to(device)), dim=1)
