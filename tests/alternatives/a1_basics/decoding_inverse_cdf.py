"""Decoding in plain Python: sorted pairs, running sums, and one uniform number for each token."""

import math
import random

import torch

SOLVES = ("decoding",)


def draw(logits, temperature, top_k, top_p, uniform):
    ranked = sorted(((logit, -token) for token, logit in enumerate(logits)), reverse=True)
    if temperature == 0:
        return -ranked[0][1]
    ranked = ranked[:top_k]
    weights = [math.exp((logit - ranked[0][0]) / temperature) for logit, _ in ranked]
    total, kept, mass = sum(weights), 0, 0.0
    while kept < len(weights) and (kept == 0 or mass < (1.0 if top_p is None else top_p) * total):
        mass += weights[kept]
        kept += 1
    aim = uniform * mass
    for (_, token), weight in zip(ranked[:kept], weights, strict=False):
        aim -= weight
        if aim < 0:
            return -token
    return -ranked[0][1]


class Generation:
    """An iterator that holds its text: nothing is computed before the first token is asked for."""

    def __init__(self, model, text, left, context_length, settings, seed, end_token):
        self.model, self.text, self.left, self.context_length = model, text, left, context_length
        self.settings, self.random, self.end_token = settings, random.Random(seed), end_token

    def __iter__(self):
        return self

    def __next__(self):
        if self.left <= 0:
            raise StopIteration
        with torch.inference_mode():
            shown = torch.tensor(self.text[-self.context_length :], dtype=torch.long).unsqueeze(0)
            logits = self.model(shown)[:, -1, :].float().flatten().tolist()
        token = draw(logits, *self.settings, self.random.random())
        self.left = 0 if token == self.end_token else self.left - 1
        self.text.append(token)
        return token


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
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if top_k is not None and top_k <= 0:
        raise ValueError("top_k must be positive")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError("top_p must lie in (0, 1]")
    settings = (temperature, top_k, top_p)
    return Generation(model, prompt.tolist(), max_new_tokens, context_length, settings, seed, end_token)
