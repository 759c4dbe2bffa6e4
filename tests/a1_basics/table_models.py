"""Models that are tables, for the tests of decoding: their logits are known, so every probability is.

Distributions are compared by counting draws; the bounds hold for any right implementation, whatever it does with the
seed.
"""

import math

import numpy as np
import torch
from torch import nn

from tests.harness.explain import expect, expect_equal

DRAWS = 3000
SIGMAS = 5  # a fair draw leaves 5 sigma once in 1.7 million


class Table(nn.Module):
    """Logits that depend on the last token alone, and a note of everything the model was shown."""

    def __init__(self, logits, dtype=torch.float32) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(np.array(logits), dtype=dtype))
        self.shown: list[list[int]] = []
        self.gradients: list[bool] = []

    def forward(self, token_ids, positions=None, attend=None):
        assert token_ids.ndim == 2, f"token_ids of shape {tuple(token_ids.shape)}, wanted (batch, seq)"
        assert token_ids.dtype == torch.long, f"token_ids of {token_ids.dtype}, wanted torch.long"
        self.shown.append(token_ids[0].tolist())
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        return self.table[token_ids]


def same_for_all(logits, dtype=torch.float32) -> Table:
    """The same distribution after every token: draws are independent."""
    return Table([logits] * len(logits), dtype)


def circle(size: int = 5) -> Table:
    """After token i comes i + 1, and after the last the first: almost certainly."""
    logits = np.full((size, size), -30.0)
    logits[np.arange(size), (np.arange(size) + 1) % size] = 30.0
    return Table(logits)


def generate(adapters, model, prompt=(0,), max_new_tokens=DRAWS, context_length=4, **settings) -> list[int]:
    prompt = torch.tensor(list(prompt), dtype=torch.long)
    return list(
        adapters.generate_tokens(
            model,
            prompt,
            max_new_tokens=max_new_tokens,
            context_length=context_length,
            **settings,
        )
    )


def expect_frequencies(tokens, probabilities, *, what, why, case) -> None:
    """Each token comes as often as its probability says; one of probability 0 never does."""
    want = np.array(probabilities, dtype=float)
    counts = np.bincount(np.array(tokens), minlength=len(want))
    expect_equal(
        len(tokens), DRAWS, what="as many tokens come as were asked for", why="an early end", case=case
    )
    for token, p in enumerate(want):
        sigma = math.sqrt(DRAWS * p * (1 - p))
        expect(
            bool(abs(counts[token] - DRAWS * p) <= SIGMAS * sigma + 1e-6),
            what=what,
            why=why,
            counterexample=f"token {token} came {counts[token]} times in {DRAWS}; wanted {DRAWS * p:.0f} +- "
            f"{sigma:.0f} (probability {p:.3f})\ngot {counts.tolist()}\nwanted "
            f"{[round(DRAWS * x) for x in want]}",
            case=case,
        )


def softmax(logits, temperature=1.0) -> np.ndarray:
    powers = np.exp((np.array(logits) - max(logits)) / temperature)
    return powers / powers.sum()


LOGITS = [0.0, 2.0, 1.0, -1.0, 1.5, 0.5]
