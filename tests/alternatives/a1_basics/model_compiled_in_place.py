"""Block and model traced by torch.compile; sums are written into fresh results, scores are masked in place."""

import torch

SOLVES = ("transformer_block", "transformer_lm")
NAMES = (
    *(f"attn.{name}_proj.weight" for name in ("q", "k", "v", "output")),
    *(f"ffn.{name}.weight" for name in ("w1", "w2", "w3")),
    "ln1.weight",
    "ln2.weight",
)


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain


@torch.compile(backend="eager", dynamic=True)
def block(x, cos, sin, heads, q, k, v, out, w1, w2, w3, ln1, ln2):
    batch, seq, d_model = x.shape
    y = norm(x, ln1)
    queries, keys, values = ((y @ w.mT).view(batch, seq, heads, -1).transpose(1, 2) for w in (q, k, v))
    pair = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    queries, keys = (
        heads_of * cos + (heads_of.unflatten(-1, (-1, 2)) @ pair).flatten(-2) * sin
        for heads_of in (queries, keys)
    )
    scores = queries @ keys.mT
    scores /= queries.shape[-1] ** 0.5
    scores.masked_fill_(torch.ones(seq, seq, dtype=torch.bool).triu(1), -torch.inf)
    read = (scores.softmax(-1) @ values).transpose(1, 2).reshape(batch, seq, d_model) @ out.mT
    read += x
    y = norm(read, ln2)
    gate = y @ w1.mT
    result = (gate * gate.sigmoid() * (y @ w3.mT)) @ w2.mT
    result += read
    return result


def angles(seq, width, theta):
    table = torch.outer(torch.arange(seq).double(), theta ** (-torch.arange(0, width, 2).double() / width))
    table = table.repeat_interleave(2, dim=-1)
    return table.cos().float(), table.sin().float()


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    cos, sin = angles(in_features.shape[1], d_model // num_heads, theta)
    return block(in_features, cos, sin, num_heads, *(weights[name] for name in NAMES))


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    cos, sin = angles(in_indices.shape[1], d_model // num_heads, rope_theta)
    x = weights["token_embeddings.weight"][in_indices]
    for layer in range(num_layers):
        x = block(x, cos, sin, num_heads, *(weights[f"layers.{layer}.{name}"] for name in NAMES))
    return norm(x, weights["ln_final.weight"]) @ weights["lm_head.weight"].mT
