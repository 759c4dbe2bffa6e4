"""The transformer without RoPE: the causal mask alone tells early tokens from late ones.

Source: [nope-2023].
"""

from typing import Any

from torch import nn

from a1_basics.model.transformer import TransformerLM
from shared.doors.protocols import ModelConfig


def build(config: ModelConfig) -> nn.Module:
    """A model that does not turn its queries and keys."""
    model: Any = TransformerLM(config)
    model.rope = None
    return model
