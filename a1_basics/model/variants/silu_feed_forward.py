"""The transformer with an ungated feed-forward: two matrices of width 4 d_model instead of SwiGLU's three of 8/3."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from a1_basics.model.fused import fused_silu
from a1_basics.model.layers import Linear
from a1_basics.model.transformer import TransformerLM
from shared.doors.protocols import ModelConfig

WIDTH_RATIO = 4  # two matrices of this ratio have as many parameters as three of 8/3


class SiLUFeedForward(nn.Module):
    """`w2(silu(w1 x))`: what is left of SwiGLU without its gate."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)

    def forward(self, features: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return self.w2(fused_silu(self.w1(features)))


def build(config: ModelConfig) -> nn.Module:
    """A model whose feed-forwards have no gate and about as many parameters."""
    model: Any = TransformerLM(config)
    for block in model.layers:
        block.ffn = SiLUFeedForward(config.d_model, WIDTH_RATIO * config.d_model)
    return model
