"""The rungs in tensor arithmetic, one line after another, as a learner would write them first."""

import math

import torch

SOLVES = (
    "averaging",
    "layernorm",
    "dropout",
    "gelu_feedforward",
    "grouped_query_attention",
    "qk_norm",
    "muon",
)


def run_causal_average(in_features):
    seq = in_features.shape[-2]
    allowed = torch.ones(seq, seq, dtype=in_features.dtype).tril()
    counts = torch.arange(1, seq + 1, dtype=in_features.dtype)
    return allowed @ in_features / counts[:, None]


def run_layernorm(d_model, eps, weights, biases, in_features):
    wide = in_features.float()
    mean = wide.mean(dim=-1, keepdim=True)
    variance = ((wide - mean) ** 2).mean(dim=-1, keepdim=True)
    normed = (wide - mean) / torch.sqrt(variance + eps)
    return (normed * weights + biases).to(in_features.dtype)


def run_dropout(drop_fraction, is_training, in_features):
    if not 0 <= drop_fraction < 1:
        raise ValueError(f"{drop_fraction} is no fraction")
    if not is_training or drop_fraction == 0:
        return in_features
    kept = torch.rand(in_features.shape) >= drop_fraction
    return in_features * kept / (1 - drop_fraction)


def run_gelu_feedforward(d_model, d_ff, w1_weight, w1_bias, w2_weight, w2_bias, in_features):
    hidden = in_features @ w1_weight.T + w1_bias
    cubed = hidden + 0.044715 * hidden**3
    hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))
    return hidden @ w2_weight.T + w2_bias


def run_grouped_query_attention(
    d_model, num_heads, num_kv_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    if num_heads % num_kv_heads:
        raise ValueError("heads cannot be shared out")
    *leading, seq, _ = in_features.shape
    group = num_heads // num_kv_heads
    q = (in_features @ q_proj_weight.T).reshape(*leading, seq, num_heads, -1).transpose(-3, -2)
    k = (in_features @ k_proj_weight.T).reshape(*leading, seq, num_kv_heads, -1).transpose(-3, -2)
    v = (in_features @ v_proj_weight.T).reshape(*leading, seq, num_kv_heads, -1).transpose(-3, -2)
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    future = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    read = torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1) @ v
    return read.transpose(-3, -2).reshape(*leading, seq, -1) @ o_proj_weight.T


def norm(x, gain, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * gain).to(x.dtype)


def run_qk_norm_scores(eps, q_weights, k_weights, Q, K):
    q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def run_newton_schulz(in_matrix):
    x = in_matrix / (in_matrix.norm() + 1e-20)
    if x.shape[0] > x.shape[1]:
        return run_newton_schulz(in_matrix.T).T
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):
    momentum = beta * momentum + (1 - beta) * gradients
    ahead = beta * momentum + (1 - beta) * gradients
    size = 0.2 * math.sqrt(max(weights.shape))
    return (1 - lr * weight_decay) * weights - lr * size * run_newton_schulz(ahead), momentum
