"""Multi-head attention, the pre-norm block and the whole language model, in float64, put together from the oracles."""

import numpy as np

from tests.oracles.attention import attention
from tests.oracles.layers import linear, rms_norm, swiglu
from tests.oracles.rope import rotate

Weights = dict[str, np.ndarray]

NORM_EPS = 1e-5
"""What the block and the model add under the root of RMSNorm; their doors have no parameter for it."""


def self_attention(
    x: np.ndarray,
    q_proj: np.ndarray,
    k_proj: np.ndarray,
    v_proj: np.ndarray,
    o_proj: np.ndarray,
    num_heads: int,
    theta: float | None = None,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """Causal attention of x (..., seq, d_model), one head after another; RoPE on queries and keys if theta is given.

    Head h owns rows h * head_dim .. (h + 1) * head_dim - 1 of the three projections, and those columns of o_proj.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.
    """
    seq = x.shape[-2]
    head_dim = len(q_proj) // num_heads
    causal = np.tril(np.ones((seq, seq), dtype=bool))
    positions = np.arange(seq) if positions is None else positions
    read = []
    for head in range(num_heads):
        rows = slice(head * head_dim, (head + 1) * head_dim)
        q, k, v = (linear(x, weight[rows]) for weight in (q_proj, k_proj, v_proj))
        if theta is not None:
            q, k = rotate(q, positions, theta), rotate(k, positions, theta)
        read.append(attention(q, k, v, causal))
    return linear(np.concatenate(read, axis=-1), o_proj)


def block(x: np.ndarray, weights: Weights, num_heads: int, theta: float) -> np.ndarray:
    """x + attention(norm(x)), then the same with the feed-forward; names as in the public assignment.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", figure 1b.
    """
    projections = [weights[f"attn.{name}_proj.weight"] for name in ("q", "k", "v", "output")]
    x = x + self_attention(rms_norm(x, weights["ln1.weight"], NORM_EPS), *projections, num_heads, theta)
    ffn = [weights[f"ffn.{name}.weight"] for name in ("w1", "w2", "w3")]
    return x + swiglu(rms_norm(x, weights["ln2.weight"], NORM_EPS), *ffn)


def language_model(
    token_ids: np.ndarray, weights: Weights, num_layers: int, num_heads: int, theta: float
) -> np.ndarray:
    """The logits (..., seq, vocab) after token_ids (..., seq)."""
    x = np.asarray(weights["token_embeddings.weight"], dtype=np.float64)[token_ids]
    for layer in range(num_layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        x = block(x, own, num_heads, theta)
    return linear(rms_norm(x, weights["ln_final.weight"], NORM_EPS), weights["lm_head.weight"])
