"""Decoding by the Gumbel trick, with numpy's generator: the largest of logits plus noise is a draw from the softmax."""

import numpy as np
import torch

SOLVES = ("decoding",)


def allowed(logits, top_k, top_p):
    """Logits of the tokens that may come; -inf for the others."""
    order = np.argsort(-logits, kind="stable")
    if top_k is not None:
        order = order[:top_k]
    if top_p is not None:
        powers = np.exp(logits[order] - logits[order[0]])
        share = np.cumsum(powers / powers.sum())
        order = order[: int(np.searchsorted(share, top_p - 1e-12)) + 1]
    kept = np.full_like(logits, -np.inf)
    kept[order] = logits[order]
    return kept


def generate_tokens(
    model,
    prompt,
    max_new_tokens,
    context_length,
    temperature=1.0,
    top_k=None,
    top_p=None,
    seed=0,
    end_token=None,
):
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"no distribution has temperature={temperature}, top_k={top_k}, top_p={top_p}")
    noise = np.random.default_rng(seed)
    text = [int(token) for token in prompt]
    for _ in range(max_new_tokens):
        window = torch.tensor([text[-context_length:]])
        logits = logits_of(model, window)
        if temperature:
            logits = allowed(logits / temperature, top_k, top_p) + noise.gumbel(size=len(logits))
        token = int(np.argmax(logits))
        text.append(token)
        yield token
        if end_token is not None and token == end_token:
            break


@torch.no_grad()
def logits_of(model, window):
    return model(window)[0, -1].double().numpy()
