"""Put a door's own RoPE and attention into the slots of the model that trains.

A learner who has solved one of these problems but not yet built a whole model still trains with their own code.
"""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.attention import causal_mask, repeat_kv_heads
from shared.doors.protocols import Attend, BasicsDoor, ModelConfig
from shared.doors.resolve import own_functions


class DoorRope(nn.Module):
    """RoPE by the door's `run_rope`, in the place of the model's own."""

    def __init__(self, parts: BasicsDoor, config: ModelConfig) -> None:
        super().__init__()
        self.rotate = parts.run_rope
        self.head_dim = config.width_per_head
        self.theta, self.max_positions = config.rope_theta, config.context_length

    def forward(
        self, features: Float[Tensor, "... seq head_dim"], positions: Int[Tensor, "... seq"]
    ) -> Float[Tensor, "... seq head_dim"]:
        return self.rotate(self.head_dim, self.theta, self.max_positions, features, positions)


def door_attention(parts: BasicsDoor) -> Attend:
    """An `attend` by the door's `run_scaled_dot_product_attention`."""

    def attend(
        layer: int,
        queries: Float[Tensor, "batch heads q_len head_dim"],
        keys: Float[Tensor, "batch kv_heads k_len head_dim"],
        values: Float[Tensor, "batch kv_heads k_len head_dim"],
    ) -> Float[Tensor, "batch heads q_len head_dim"]:
        batch, heads, q_len = queries.shape[:3]
        mask = causal_mask(q_len, keys.shape[2], queries.device)
        mask = mask.expand(batch, heads, -1, -1)  # the public convention: the mask has all leading dimensions
        keys, values = repeat_kv_heads(keys, heads), repeat_kv_heads(values, heads)
        return parts.run_scaled_dot_product_attention(queries, keys, values, mask)

    return attend


def fill_slots(parts: BasicsDoor, model: nn.Module, config: ModelConfig) -> Attend | None:
    """Replace the model's RoPE by the door's own, if it has one; the `attend` to call the model with.

    A model that is itself the learner's is left alone: its inside is theirs.
    """
    own: Any = own_functions(parts)
    if "build_model" in own:
        return None
    if "run_rope" in own and hasattr(model, "rope"):
        model.rope = DoorRope(parts, config)
    return door_attention(parts) if "run_scaled_dot_product_attention" in own else None
