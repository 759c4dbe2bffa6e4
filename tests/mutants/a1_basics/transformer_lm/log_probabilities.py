"""Returns log-probabilities: the loss does not notice, temperature and comparison with others do."""

from a1_basics import adapters

REJECTED_BY = "test_logits_are_not_normalised"


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    x = weights["token_embeddings.weight"][in_indices]
    for layer in range(num_layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}
        x = adapters.run_transformer_block(d_model, num_heads, d_ff, context_length, rope_theta, own, x)
    x = adapters.run_rmsnorm(d_model, 1e-5, weights["ln_final.weight"], x)
    result = x @ weights["lm_head.weight"].T
    return result - result.logsumexp(-1, keepdim=True)
