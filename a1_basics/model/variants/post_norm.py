"""The block of the first transformer: the norm stands on the residual stream, after each addition."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.transformer import TransformerBlock, TransformerLM
from shared.doors.protocols import Attend, ModelConfig


class PostNormBlock(TransformerBlock):
    """`norm(x + attention(x))`, then `norm(x + feed_forward(x))`.

    The gradient of a layer passes through every norm above it and grows or shrinks with each: deep post-norm models
    need a warm-up where pre-norm ones do not.

    Source: [transformer-2017] section 3.1; [preln-2020] figure 1a.
    """

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: nn.Module | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        read = self.attn(features, layer=layer, rope=rope, positions=positions, attend=attend)
        features = self.ln1(features + read)
        return self.ln2(features + self.ffn(features))


def build(config: ModelConfig) -> nn.Module:
    """A model of post-norm blocks; the last of them has normed already, so no norm follows it."""
    model: Any = TransformerLM(config)
    model.layers = nn.ModuleList(
        PostNormBlock(block.attn, block.ffn, d_model=config.d_model, norm_eps=config.norm_eps)
        for block in model.layers
    )
    model.ln_final = nn.Identity()
    return model
