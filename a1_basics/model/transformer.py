"""The decoder-only transformer language model: pre-norm blocks of attention and a gated feed-forward.

The model knows nothing of how it is split, stored, cached or sampled. Everything that varies about attention comes
in through `attend`; see `shared.doors.protocols.Attend`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.attention import SelfAttention, sdpa_attention
from a1_basics.model.fused import fused_silu
from a1_basics.model.layers import Embedding, Linear, RMSNorm, SwiGLU, linear
from a1_basics.model.rope import RotaryEmbedding
from shared.doors.protocols import Attend, ModelConfig


class TransformerBlock(nn.Module):
    """`x + attention(norm(x))`, then `x + feed_forward(norm(x))`: the residual stream is never normalised itself.

    Source: [preln-2020] figure 1b.
    """

    def __init__(self, attn: nn.Module, ffn: nn.Module, *, d_model: int, norm_eps: float) -> None:
        super().__init__()
        self.attn = attn
        self.ln1 = RMSNorm(d_model, norm_eps)
        self.ffn = ffn
        self.ln2 = RMSNorm(d_model, norm_eps)

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: nn.Module | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        features = features + self.attn(
            self.ln1(features), layer=layer, rope=rope, positions=positions, attend=attend
        )
        return features + self.ffn(self.ln2(features))


class TransformerLM(nn.Module):
    """Token ids in, one row of next-token logits out for every position."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embeddings = Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(transformer_block(config) for _ in range(config.num_layers))
        self.ln_final = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = None if config.tied_embeddings else Linear(config.d_model, config.vocab_size)
        self.rope = RotaryEmbedding(config.width_per_head, config.rope_theta, config.context_length)
        if config.tied_embeddings:
            # As an output matrix the table must start small: unit rows would make logits of size sqrt(d_model).
            with torch.no_grad():
                self.token_embeddings.weight.mul_(config.d_model**-0.5)

    def forward(
        self,
        token_ids: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """`positions` defaults to 0, 1, 2 …; `attend` to causal attention by torch's fused kernel.

        Raises:
            ValueError: the sequence is longer than the model's context.
        """
        return self.logits(self.features(token_ids, positions, attend))

    def features(
        self,
        token_ids: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """What the output projection reads: who needs few of the logits computes only these from it."""
        if positions is None:
            positions = first_positions(token_ids, self.config.context_length)
        rope_positions = positions[:, None]  # one row for all heads
        features = self.token_embeddings(token_ids)
        for layer, block in enumerate(self.layers):
            features = block(
                features,
                layer=layer,
                rope=self.rope,
                positions=rope_positions,
                attend=attend or sdpa_attention,
            )
        return self.ln_final(features)

    def logits(self, features: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq vocab"]:
        """The output projection."""
        if self.lm_head is None:
            return linear(features, self.token_embeddings.weight)
        return self.lm_head(features)


def first_positions(token_ids: Int[Tensor, "batch seq"], context_length: int) -> Int[Tensor, "1 seq"]:
    """The positions 0, 1, 2 … of sequences that begin at the beginning: one row for all of them.

    Raises:
        ValueError: the sequence is longer than the context.
    """
    seq = token_ids.shape[1]
    if seq > context_length:
        raise ValueError(
            f"a sequence of {seq} tokens does not fit context_length={context_length}; "
            "cut it, or train a model with a longer context"
        )
    return torch.arange(seq, device=token_ids.device)[None]


def transformer_block(config: ModelConfig) -> TransformerBlock:
    """The block of this configuration: its attention and feed-forward in their two slots."""
    attention = SelfAttention(
        config.d_model,
        config.num_heads,
        num_kv_heads=config.num_kv_heads,
        qk_norm=config.qk_norm,
        qkv_bias=config.qkv_bias,
        norm_eps=config.norm_eps,
        head_dim=config.head_dim,
    )
    feed_forward = SwiGLU(config.d_model, config.d_ff, activation=fused_silu)
    return TransformerBlock(attention, feed_forward, d_model=config.d_model, norm_eps=config.norm_eps)
