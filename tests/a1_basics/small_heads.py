"""Multi-head self-attention with and without RoPE: inputs of a few heads, the call, and what the oracle makes of it."""

import numpy as np
import pytest
import torch

from tests.oracles import transformer as oracle

# float32: four matrix products of at most 64 numbers around a softmax, with weights that keep sizes near one.
# RoPE adds the rounding of its angles, 4e-6 below position 64. Wrong laws are off by 1e-2 and more.
ATOL = 3e-5
THETA = 10_000.0
NAMES = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")
BOTH = pytest.mark.parametrize("theta", [None, THETA], ids=["without_rope", "with_rope"])


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def projections(d_model: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights; those of queries and keys a little larger, so that attention is not close to an average."""
    sizes = (1.5, 1.5, 1.0, 1.0)
    return {
        name: numbers(d_model, d_model, seed=1000 * seed + i) * (size / d_model**0.5)
        for i, (name, size) in enumerate(zip(NAMES, sizes, strict=True))
    }


def identities(d_model: int) -> dict[str, torch.Tensor]:
    return {name: torch.eye(d_model) for name in NAMES}


def attend(adapters, weights, x, heads, theta=None, positions=None, *, max_seq_len=64):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    weights = {name: weight.clone() for name, weight in weights.items()}
    common = {"d_model": x.shape[-1], "num_heads": heads, **weights, "in_features": x.clone()}
    if theta is None:
        return adapters.run_multihead_self_attention(**common)
    if positions is not None:
        positions = torch.as_tensor(positions).clone()
    return adapters.run_multihead_self_attention_with_rope(
        **common, max_seq_len=max_seq_len, theta=theta, token_positions=positions
    )


def want(weights, x, heads, theta=None, positions=None):
    arrays = [weights[name].detach().double().numpy() for name in NAMES]
    positions = None if positions is None else np.asarray(positions)
    return oracle.self_attention(x.detach().double().numpy(), *arrays, heads, theta, positions)
