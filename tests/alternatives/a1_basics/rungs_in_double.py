"""The rungs in float64 and by einsum, without a transpose; the singular values by a decomposition."""

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
    shares = torch.ones(seq, seq, dtype=torch.float64).tril()
    shares = shares / shares.sum(dim=1, keepdim=True)
    return torch.einsum("qk,...kd->...qd", shares, in_features.double()).to(in_features.dtype)


def run_layernorm(d_model, eps, weights, biases, in_features):
    x = in_features.double()
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(biases, (x - mean) * (variance + eps) ** -0.5, weights).to(in_features.dtype)


def run_dropout(drop_fraction, is_training, in_features):
    assert 0 <= drop_fraction < 1
    if not is_training or not drop_fraction:
        return in_features.clone()
    factors = torch.bernoulli(torch.full(in_features.shape, 1 - drop_fraction, dtype=torch.float64))
    return (in_features.double() * (factors / (1 - drop_fraction))).to(in_features.dtype)


def run_gelu_feedforward(d_model, d_ff, w1_weight, w1_bias, w2_weight, w2_bias, in_features):
    hidden = torch.einsum("...d,fd->...f", in_features.double(), w1_weight.double()) + w1_bias
    # (1 + tanh(z)) / 2 is sigmoid(2 z)
    hidden = hidden * torch.sigmoid(math.sqrt(8 / math.pi) * (hidden + 0.044715 * hidden.pow(3)))
    return (torch.einsum("...f,df->...d", hidden, w2_weight.double()) + w2_bias).to(in_features.dtype)


def run_grouped_query_attention(
    d_model, num_heads, num_kv_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    group, rest = divmod(num_heads, num_kv_heads)
    assert rest == 0
    seq, x = in_features.shape[-2], in_features.double()
    q_weight = q_proj_weight.double().unflatten(0, (num_kv_heads, group, -1))
    k_weight, v_weight = (w.double().unflatten(0, (num_kv_heads, -1)) for w in (k_proj_weight, v_proj_weight))
    q = torch.einsum("...sd,hged->...hgse", x, q_weight)
    k, v = (torch.einsum("...sd,hed->...hse", x, weight) for weight in (k_weight, v_weight))
    scores = torch.einsum("...hgqe,...hke->...hgqk", q, k) * q.shape[-1] ** -0.5
    scores = torch.where(torch.ones(seq, seq, dtype=torch.bool).tril(), scores, -torch.inf)
    weights = (scores - torch.logsumexp(scores, -1, keepdim=True)).exp()
    o_weight = o_proj_weight.double().unflatten(-1, (num_kv_heads, group, -1))
    return torch.einsum("...hgqk,...hke,dhge->...qd", weights, v, o_weight).to(in_features.dtype)


def run_qk_norm_scores(eps, q_weights, k_weights, Q, K):
    q, k = Q.double(), K.double()
    q_size = (q.square().mean(-1) + eps).sqrt()
    k_size = (k.square().mean(-1) + eps).sqrt()
    products = torch.einsum("...qd,...kd,d,d->...qk", q, k, q_weights.double(), k_weights.double())
    return (products / q_size[..., :, None] / k_size[..., None, :] / q.shape[-1] ** 0.5).to(Q.dtype)


def run_newton_schulz(in_matrix):
    left, values, right = torch.linalg.svd(in_matrix.double(), full_matrices=False)
    values = values / values.norm().clamp(min=1e-30)
    for _ in range(5):
        values = values * (3.4445 + values**2 * (-4.7750 + 2.0315 * values**2))
    return torch.einsum("ir,r,rj->ij", left, values, right).to(in_matrix.dtype)


def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):
    momentum = gradients + beta * momentum  # 1 / (1 - beta) times as large: its size falls out
    step = run_newton_schulz(gradients + beta * momentum) * 0.2 * max(weights.shape) ** 0.5
    return weights - lr * (step + weight_decay * weights), momentum
