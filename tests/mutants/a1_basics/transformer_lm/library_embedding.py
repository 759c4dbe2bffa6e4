"""Calls the library's embedding, which is a problem of its own."""

import torch.nn.functional as F

from a1_basics import adapters

REJECTED_BY = "forbidden"


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    x = F.embedding(in_indices, weights["token_embeddings.weight"])
    for layer in range(num_layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}
        x = adapters.run_transformer_block(d_model, num_heads, d_ff, context_length, rope_theta, own, x)
    x = adapters.run_rmsnorm(d_model, 1e-5, weights["ln_final.weight"], x)
    return x @ weights["lm_head.weight"].T
