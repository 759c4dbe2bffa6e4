"""Block and model one token at a time with a cache of keys and values, one sequence mapped over the batch."""

import torch

SOLVES = ("transformer_block", "transformer_lm")


def norm(x, gain):
    return x / (x.square().mean() + 1e-5).sqrt() * gain


def turn(x, position, theta):
    """Each head (heads, width) at one position."""
    speeds = theta ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = (position * speeds).cos(), (position * speeds).sin()
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)


def step(x, position, weights, heads, theta, cache):
    """One token's vector through one block; its key and value are added to the cache."""
    y = norm(x, weights["ln1.weight"])
    q, k, v = ((weights[f"attn.{name}_proj.weight"] @ y).unflatten(0, (heads, -1)) for name in "qkv")
    cache.append((turn(k, position, theta), v))
    keys, values = (torch.stack(rows, dim=1) for rows in zip(*cache, strict=True))
    scores = (keys @ turn(q, position, theta)[..., None])[..., 0] / q.shape[-1] ** 0.5
    read = (torch.softmax(scores, dim=-1)[:, None] @ values).flatten()
    x = x + weights["attn.output_proj.weight"] @ read
    y = norm(x, weights["ln2.weight"])
    gate = weights["ffn.w1.weight"] @ y
    return x + weights["ffn.w2.weight"] @ (gate * torch.sigmoid(gate) * (weights["ffn.w3.weight"] @ y))


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    def one_sequence(rows):
        cache = []
        return torch.stack([step(row, i, weights, num_heads, theta, cache) for i, row in enumerate(rows)])

    return torch.vmap(one_sequence)(in_features)


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    layers = [
        {
            name.split(".", 2)[2]: weight
            for name, weight in weights.items()
            if name.startswith(f"layers.{layer}.")
        }
        for layer in range(num_layers)
    ]

    def one_sequence(rows):
        caches, logits = [[] for _ in layers], []
        for position, x in enumerate(rows):
            for own, cache in zip(layers, caches, strict=True):
                x = step(x, position, own, num_heads, rope_theta, cache)
            logits.append(weights["lm_head.weight"] @ norm(x, weights["ln_final.weight"]))
        return torch.stack(logits)

    return torch.vmap(one_sequence)(weights["token_embeddings.weight"][in_indices])
