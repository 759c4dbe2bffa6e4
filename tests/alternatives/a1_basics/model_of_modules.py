"""The whole model as modules into which the door loads weights, the way most people build it."""

import math

import torch
from torch import nn

SOLVES = (
    "linear",
    "embedding",
    "rmsnorm",
    "silu",
    "positionwise_feedforward",
    "rope",
    "scaled_dot_product_attention",
    "multihead_self_attention",
    "transformer_block",
    "transformer_lm",
)


class Linear(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        std = math.sqrt(2 / (d_in + d_out))
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(d_out, d_in), 0, std, -3 * std, 3 * std))

    def forward(self, x):
        return torch.einsum("...i,oi->...o", x, self.weight)


class Embedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(vocab_size, d_model), 0, 1, -3, 3))

    def forward(self, ids):
        return self.weight[ids]


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x):
        in_dtype = x.dtype
        x = x.to(torch.float32)
        rms = torch.sqrt(torch.mean(x**2, dim=-1, keepdim=True) + self.eps)
        return (x / rms * self.weight).to(in_dtype)


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1, self.w2, self.w3 = Linear(d_model, d_ff), Linear(d_ff, d_model), Linear(d_model, d_ff)

    def forward(self, x):
        return self.w2(run_silu(self.w1(x)) * self.w3(x))


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len):
        super().__init__()
        angles = torch.arange(max_seq_len)[:, None] / theta ** (torch.arange(0, d_k, 2) / d_k)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x, token_positions):
        cos, sin = self.cos[token_positions], self.sin[token_positions]
        even, odd = x[..., ::2], x[..., 1::2]
        turned = torch.empty_like(x)
        turned[..., ::2] = even * cos - odd * sin
        turned[..., 1::2] = even * sin + odd * cos
        return turned


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads, rope=None):
        super().__init__()
        self.num_heads, self.rope = num_heads, rope
        self.q_proj, self.k_proj, self.v_proj, self.output_proj = (Linear(d_model, d_model) for _ in range(4))

    def split(self, x):
        *leading, seq, d_model = x.shape
        return x.reshape(*leading, seq, self.num_heads, d_model // self.num_heads).transpose(-3, -2)

    def forward(self, x, token_positions=None):
        seq = x.shape[-2]
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))
        if self.rope is not None:
            if token_positions is None:
                token_positions = torch.arange(seq, device=x.device)
            q, k = (self.rope(heads, token_positions.unsqueeze(-2)) for heads in (q, k))
        mask = ~torch.triu(torch.ones(seq, seq, dtype=torch.bool, device=x.device), diagonal=1)
        read = run_scaled_dot_product_attention(q, k, v, mask)
        return self.output_proj(read.transpose(-3, -2).reshape(x.shape))


class TransformerBlock(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, rope):
        super().__init__()
        self.attn = MultiHeadSelfAttention(d_model, num_heads, rope)
        self.ln1, self.ln2 = RMSNorm(d_model), RMSNorm(d_model)
        self.ffn = SwiGLU(d_model, d_ff)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class TransformerLM(nn.Module):
    def __init__(self, vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta):
        super().__init__()
        rope = RotaryPositionalEmbedding(rope_theta, d_model // num_heads, context_length)
        self.token_embeddings = Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList(
            TransformerBlock(d_model, num_heads, d_ff, rope) for _ in range(num_layers)
        )
        self.ln_final = RMSNorm(d_model)
        self.lm_head = Linear(d_model, vocab_size)

    def forward(self, ids):
        x = self.token_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))


def run_linear(d_in, d_out, weights, in_features):
    layer = Linear(d_in, d_out)
    layer.load_state_dict({"weight": weights})
    return layer(in_features)


def run_embedding(vocab_size, d_model, weights, token_ids):
    layer = Embedding(vocab_size, d_model)
    layer.weight.data = weights
    return layer(token_ids)


def run_rmsnorm(d_model, eps, weights, in_features):
    layer = RMSNorm(d_model, eps)
    with torch.no_grad():
        layer.weight.copy_(weights)
    return layer(in_features)


def run_silu(in_features):
    return in_features * torch.sigmoid(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    layer = SwiGLU(d_model, d_ff)
    layer.w1.weight, layer.w2.weight, layer.w3.weight = map(nn.Parameter, (w1_weight, w2_weight, w3_weight))
    return layer(in_features)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)(in_query_or_key, token_positions)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ V


def run_multihead_self_attention(
    d_model,
    num_heads,
    q_proj_weight,
    k_proj_weight,
    v_proj_weight,
    o_proj_weight,
    in_features,
    rope=None,
    positions=None,
):
    layer = MultiHeadSelfAttention(d_model, num_heads, rope)
    names = ("q_proj", "k_proj", "v_proj", "output_proj")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    layer.load_state_dict({f"{name}.weight": weight for name, weight in zip(names, weights, strict=True)})
    return layer(in_features, positions)


def run_multihead_self_attention_with_rope(
    d_model,
    num_heads,
    max_seq_len,
    theta,
    q_proj_weight,
    k_proj_weight,
    v_proj_weight,
    o_proj_weight,
    in_features,
    token_positions=None,
):
    rope = RotaryPositionalEmbedding(theta, d_model // num_heads, max_seq_len)
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return run_multihead_self_attention(d_model, num_heads, *weights, in_features, rope, token_positions)


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    rope = RotaryPositionalEmbedding(theta, d_model // num_heads, max_seq_len)
    layer = TransformerBlock(d_model, num_heads, d_ff, rope)
    layer.load_state_dict(weights)
    return layer(in_features)


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    model = TransformerLM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta)
    model.load_state_dict(weights)
    return model(in_indices)
