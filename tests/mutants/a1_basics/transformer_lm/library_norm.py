"""Loads the last gain into the library's RMSNorm."""

import torch

from a1_basics import adapters

REJECTED_BY = "forbidden"


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    x = weights["token_embeddings.weight"][in_indices]
    for layer in range(num_layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}
        x = adapters.run_transformer_block(d_model, num_heads, d_ff, context_length, rope_theta, own, x)
    norm = torch.nn.RMSNorm(d_model, eps=1e-5)
    norm.load_state_dict({"weight": weights["ln_final.weight"]})
    x = norm(x)
    return x @ weights["lm_head.weight"].T
