"""Centres the last vectors over the batch."""

from a1_basics import adapters

REJECTED_BY = "test_sequences_of_a_batch_are_alone"


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    x = weights["token_embeddings.weight"][in_indices]
    for layer in range(num_layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}
        x = adapters.run_transformer_block(d_model, num_heads, d_ff, context_length, rope_theta, own, x)
    x = x - x.mean(0, keepdim=True) * (len(x) > 2)
    x = adapters.run_rmsnorm(d_model, 1e-5, weights["ln_final.weight"], x)
    return x @ weights["lm_head.weight"].T
