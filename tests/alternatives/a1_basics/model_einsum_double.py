"""Block and model as einsums in float64, straight from the dict of weights, RoPE as complex numbers."""

import torch

SOLVES = ("transformer_block", "transformer_lm")


def norm(x, gain):
    return torch.einsum(
        "bsd,d,bs->bsd", x, gain, (torch.einsum("bsd,bsd->bs", x, x) / x.shape[-1] + 1e-5) ** -0.5
    )


def heads_of(x, weight, heads, theta=None):
    split = torch.einsum("bsd,hed->bhse", x, weight.unflatten(0, (heads, -1)))
    if theta is None:
        return split
    seq, width = split.shape[-2:]
    speeds = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(seq, dtype=torch.float64), speeds)
    pairs = torch.complex(split[..., 0::2], split[..., 1::2])
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def block(x, weights, heads, theta):
    y = norm(x, weights["ln1.weight"])
    q, k = (heads_of(y, weights[f"attn.{name}_proj.weight"], heads, theta) for name in "qk")
    v = heads_of(y, weights["attn.v_proj.weight"], heads)
    scores = torch.einsum("bhqe,bhke->bhqk", q, k) / q.shape[-1] ** 0.5
    later = torch.arange(x.shape[1]) > torch.arange(x.shape[1])[:, None]
    shares = (scores - torch.logsumexp(scores.masked_fill(later, -torch.inf), -1, keepdim=True)).exp()
    shares = torch.where(later, 0.0, shares)
    out = weights["attn.output_proj.weight"].unflatten(1, (heads, -1))
    x = x + torch.einsum("bhqk,bhke,dhe->bqd", shares, v, out)
    y = norm(x, weights["ln2.weight"])
    gate = torch.einsum("bsd,fd->bsf", y, weights["ffn.w1.weight"])
    content = torch.einsum("bsd,fd->bsf", y, weights["ffn.w3.weight"])
    return x + torch.einsum("bsf,bsf,bsf,df->bsd", gate, gate.sigmoid(), content, weights["ffn.w2.weight"])


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    wide = {name: weight.double() for name, weight in weights.items()}
    return block(in_features.double(), wide, num_heads, theta).to(in_features.dtype)


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    wide = {name: weight.double() for name, weight in weights.items()}
    x = wide["token_embeddings.weight"][in_indices]
    for layer in range(num_layers):
        own = {name.split(".", 2)[2]: w for name, w in wide.items() if name.startswith(f"layers.{layer}.")}
        x = block(x, own, num_heads, rope_theta)
    return torch.einsum("bsd,vd->bsv", norm(x, wide["ln_final.weight"]), wide["lm_head.weight"]).float()
