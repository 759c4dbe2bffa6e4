"""The rungs as modules and an optimizer, whose parameters the door loads; work in place wherever it is allowed."""

import math

import torch
from torch import nn

SOLVES = (
    "averaging",
    "layernorm",
    "dropout",
    "gelu_feedforward",
    "grouped_query_attention",
    "qk_norm",
    "muon",
)


def loaded(module, **weights):
    """The module with these weights copied into parameters of their shapes."""
    module.load_state_dict(weights)
    return module


class Linear(nn.Module):
    def __init__(self, d_out, d_in, bias=False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.bias = nn.Parameter(torch.zeros(d_out)) if bias else None

    def forward(self, x):
        product = torch.einsum("oi,...i->...o", self.weight, x)
        return product if self.bias is None else product.add_(self.bias)


class CausalAverage(nn.Module):
    """A running mean: each position moves the mean of those before it a little."""

    def forward(self, x):
        mean, means = torch.zeros_like(x[..., 0, :]), []
        for count, vector in enumerate(x.unbind(dim=-2), 1):
            mean = mean + (vector - mean) / count
            means.append(mean)
        return torch.stack(means, dim=-2)


class LayerNorm(nn.Module):
    def __init__(self, d_model, eps):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(d_model)), nn.Parameter(torch.zeros(d_model))

    def forward(self, x):
        wide = x.to(torch.float32)
        centred = wide - wide.mean(-1, keepdim=True)
        root = centred.var(-1, unbiased=False, keepdim=True).add_(self.eps).sqrt_()
        return centred.div(root).mul(self.weight).add_(self.bias).to(x.dtype)


class Dropout(nn.Module):
    def __init__(self, drop_fraction):
        super().__init__()
        if drop_fraction < 0 or drop_fraction >= 1:
            raise ValueError(drop_fraction)
        self.drop_fraction = drop_fraction

    def forward(self, x):
        if not (self.training and self.drop_fraction):
            return x
        dropped = torch.empty(x.shape).uniform_() < self.drop_fraction
        return x.masked_fill(dropped, 0.0).div_(1 - self.drop_fraction)


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1, self.w2 = Linear(d_ff, d_model, bias=True), Linear(d_model, d_ff, bias=True)

    def forward(self, x):
        hidden = self.w1(x)
        inner = math.sqrt(2 / math.pi) * hidden * (1 + 0.044715 * hidden * hidden)
        return self.w2(hidden / 2 * (1 + torch.tanh(inner)))


class GroupedAttention(nn.Module):
    """One query head after another; each looks up the key and value head of its group."""

    def __init__(self, d_model, heads, kv_heads):
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads cannot be shared out")
        self.heads, self.group, self.width = heads, heads // kv_heads, d_model // heads
        narrow = kv_heads * self.width
        self.q, self.k, self.v = Linear(d_model, d_model), Linear(narrow, d_model), Linear(narrow, d_model)
        self.o = Linear(d_model, d_model)

    def forward(self, x):
        seq = x.shape[-2]
        q, k, v = (part(x).split(self.width, dim=-1) for part in (self.q, self.k, self.v))
        future = torch.full((seq, seq), -torch.inf).triu_(1)
        read = []
        for head in range(self.heads):
            key, value = k[head // self.group], v[head // self.group]
            scores = torch.baddbmm(
                future.expand(q[head].flatten(0, -3).shape[0] if x.dim() > 2 else 1, seq, seq),
                q[head].reshape(-1, seq, self.width),
                key.reshape(-1, seq, self.width).transpose(1, 2),
                alpha=self.width**-0.5,
            )
            read.append((scores.softmax(-1) @ value.reshape(-1, seq, self.width)).reshape(q[head].shape))
        return self.o(torch.cat(read, dim=-1))


class NormedScores(nn.Module):
    def __init__(self, d_k, eps):
        super().__init__()
        self.q_gain, self.k_gain, self.eps = nn.Parameter(torch.ones(d_k)), nn.Parameter(torch.ones(d_k)), eps

    def of(self, x, gain):
        wide = x.to(torch.float32)
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return wide / torch.sqrt(length**2 + wide.shape[-1] * self.eps) * gain

    def forward(self, q, k):
        # Without the roots of d_k in both norms and the one in the scale, one root of d_k is left.
        scores = self.of(q, self.q_gain) @ self.of(k, self.k_gain).mT * math.sqrt(q.shape[-1])
        return scores.to(q.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, **settings):
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p]["momentum"]
                momentum.mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                ahead = momentum.mul(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(run_newton_schulz(ahead), alpha=-0.2 * group["lr"] * max(p.shape) ** 0.5)


def run_causal_average(in_features):
    return CausalAverage()(in_features)


def run_layernorm(d_model, eps, weights, biases, in_features):
    return loaded(LayerNorm(d_model, eps), weight=weights, bias=biases)(in_features)


def run_dropout(drop_fraction, is_training, in_features):
    layer = Dropout(drop_fraction)
    layer.train() if is_training else layer.eval()
    return layer(in_features)


def run_gelu_feedforward(d_model, d_ff, w1_weight, w1_bias, w2_weight, w2_bias, in_features):
    layer = FeedForward(d_model, d_ff)
    loaded(layer.w1, weight=w1_weight, bias=w1_bias)
    loaded(layer.w2, weight=w2_weight, bias=w2_bias)
    return layer(in_features)


def run_grouped_query_attention(
    d_model, num_heads, num_kv_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    layer = GroupedAttention(d_model, num_heads, num_kv_heads)
    weights = {"q": q_proj_weight, "k": k_proj_weight, "v": v_proj_weight, "o": o_proj_weight}
    return loaded(layer, **{f"{name}.weight": weight for name, weight in weights.items()})(in_features)


def run_qk_norm_scores(eps, q_weights, k_weights, Q, K):
    return loaded(NormedScores(Q.shape[-1], eps), q_gain=q_weights, k_gain=k_weights)(Q, K)


def run_newton_schulz(in_matrix):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = in_matrix / in_matrix.square().sum().sqrt().clamp(min=1e-30)
    small = torch.eye(min(x.shape), dtype=x.dtype)
    for _ in range(5):
        if x.shape[0] > x.shape[1]:  # the smaller product stands on the side of the smaller dimension
            gram = x.T @ x
            x = x @ (a * small + b * gram + c * gram @ gram)
        else:
            gram = x @ x.T
            x = (a * small + b * gram + c * gram @ gram) @ x
    return x


def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):
    p = nn.Parameter(weights.clone())
    p.grad = gradients
    optimizer = Muon([p], lr=lr, beta=beta, weight_decay=weight_decay)
    optimizer.state[p]["momentum"] = momentum.clone()
    optimizer.step()
    return p.detach(), optimizer.state[p]["momentum"]
