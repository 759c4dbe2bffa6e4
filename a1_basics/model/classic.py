"""The transformer as GPT-2 had it: LayerNorm, learned positions, GELU, biases everywhere, dropout, a tied table.

Every part is one that later models replaced: see `layers` for RMSNorm and SwiGLU, `rope` for positions. With the same
weights, `ClassicLM` computes what Hugging Face's `GPT2LMHeadModel` computes, and learns as it learns.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from a1_basics.model.attention import SelfAttention
from a1_basics.model.layers import Embedding, Linear
from a1_basics.model.stack import ResidualBlock, StackLM
from shared.doors.protocols import ClassicConfig as ClassicConfig

GPT2_DEVIATION = 0.02  # of every initial weight, whatever the width


def layer_norm(
    features: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "d_model"],
    bias: Float[Tensor, "d_model"],
    eps: float,
) -> Float[Tensor, "... d_model"]:
    """Each vector moved to mean 0 and scaled to variance 1, then given a learned gain and offset.

    In float32 at least: the squares of half-precision numbers overflow.

    Source: [layernorm-2016] equation 4.
    """
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    centred = wide - wide.mean(dim=-1, keepdim=True)
    normed = centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + eps)
    return (normed * weight + bias).to(features.dtype)


class LayerNorm(nn.Module):
    """`layer_norm` with its gain and offset, by torch's kernel: one pass where the clear version makes six."""

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, features: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return F.layer_norm(features, self.weight.shape, self.weight, self.bias, self.eps)


def gelu(features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`x` times the probability that a standard normal lies below it, by the tanh formula that GPT-2 uses.

    Source: [gelu-2016] section 2.
    """
    inner = math.sqrt(2 / math.pi) * (features + 0.044715 * features**3)
    return 0.5 * features * (1 + torch.tanh(inner))


def fused_gelu(features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The fast `gelu`: torch's kernel, one pass each way."""
    return F.gelu(features, approximate="tanh")


class FeedForward(nn.Module):
    """`w2(gelu(w1 x))`: two matrices with biases, the hidden width by custom four times the model's.

    Source: [transformer-2017] equation 2, with GELU for its ReLU as in [gpt2-2019].
    """

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = Linear(d_model, d_ff, bias=True)
        self.w2 = Linear(d_ff, d_model, bias=True)

    def forward(self, features: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return self.w2(fused_gelu(self.w1(features)))


class Dropout(nn.Module):
    """In training, zeroes each number with probability `drop_fraction` and scales the rest up, so that means stay.

    In evaluation it does nothing at all.

    Source: [dropout-2014] section 4, with the scaling moved from test time to training.
    """

    def __init__(self, drop_fraction: float) -> None:
        super().__init__()
        if not 0 <= drop_fraction < 1:
            raise ValueError(f"drop_fraction={drop_fraction} must lie in [0, 1)")
        self.drop_fraction = drop_fraction

    def forward(self, features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or self.drop_fraction == 0:
            return features
        keep_fraction = 1 - self.drop_fraction
        # Drawn in float32 whatever comes in: bfloat16 has 256 numbers below one, and cannot tell 0.999 from 1.
        is_kept = torch.rand_like(features, dtype=torch.float32) < keep_fraction
        return features * is_kept / keep_fraction


def classic_attention(d_model: int, num_heads: int) -> SelfAttention:
    """Multi-head attention with a bias on all four projections."""
    attention = SelfAttention(d_model, num_heads, qkv_bias=True)
    attention.output_proj = Linear(d_model, d_model, bias=True)
    return attention


class ClassicLM(StackLM):
    """GPT-2.

    Starts from normals of deviation 0.02, the two matrices that write into the residual stream smaller by
    1 / sqrt(2 layers), so that the sum of all branches starts at the size of one.

    Source: [gpt2-2019] section 2.3.
    Differs: attention weights are not dropped, only what attention returns: a fused kernel never holds them.
    """

    def __init__(self, config: ClassicConfig) -> None:
        d_model = config.d_model

        def block() -> ResidualBlock:
            return ResidualBlock(
                classic_attention(d_model, config.num_heads),
                FeedForward(d_model, config.d_ff),
                norms=(LayerNorm(d_model, config.norm_eps), LayerNorm(d_model, config.norm_eps)),
                dropout=Dropout(config.dropout),
            )

        super().__init__(
            Embedding(config.vocab_size, d_model),
            (block() for _ in range(config.num_layers)),
            context_length=config.context_length,
            position_embeddings=Embedding(config.context_length, d_model),
            ln_final=LayerNorm(d_model, config.norm_eps),
            dropout=Dropout(config.dropout),
        )
        self.config = config
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("output_proj.weight", "ffn.w2.weight"))
                shrink = math.sqrt(2 * config.num_layers) if writes else 1.0
                nn.init.normal_(parameter, std=GPT2_DEVIATION / shrink)
