"""Looking inside: an `attend` that keeps what every head looked at, and a test that nobody looked ahead."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from a1_basics.model.attention import causal_mask, repeat_kv_heads, scaled_dot_product_attention


class AttentionProbe:
    """Causal attention that remembers its weights, layer by layer; the logits are those of `causal_attention`.

    The weights are read off by attending to the rows of an identity matrix: a weighted average of those is the weights.
    """

    def __init__(self) -> None:
        self.maps: dict[int, Float[Tensor, "batch heads q_len k_len"]] = {}
        self.mask: Bool[Tensor, "q_len k_len"] | None = None

    def __call__(
        self,
        layer: int,
        queries: Float[Tensor, "batch heads q_len head_dim"],
        keys: Float[Tensor, "batch kv_heads k_len head_dim"],
        values: Float[Tensor, "batch kv_heads k_len head_dim"],
    ) -> Float[Tensor, "batch heads q_len head_dim"]:
        batch, heads, q_len = queries.shape[:3]
        k_len = keys.shape[2]
        self.mask = causal_mask(q_len, k_len, queries.device)
        keys, values = repeat_kv_heads(keys, heads), repeat_kv_heads(values, heads)
        rows = torch.eye(k_len, dtype=values.dtype, device=values.device).expand(batch, heads, -1, -1)
        self.maps[layer] = scaled_dot_product_attention(queries, keys, rows, self.mask).detach()
        return scaled_dot_product_attention(queries, keys, values, self.mask)


@torch.inference_mode()
def largest_change_before(
    model: nn.Module, token_ids: Int[Tensor, "batch seq"], other_token: int = 0
) -> float:
    """The largest change of any logit when every token after its position is overwritten; 0 when the model is causal.

    Exactly 0, not nearly: a weight of zero times any number adds nothing, and every other number is computed alike.
    """
    whole, largest = model(token_ids), 0.0
    for position in range(token_ids.shape[1] - 1):
        cut = token_ids.clone()
        cut[:, position + 1 :] = other_token
        change = (model(cut) - whole)[:, : position + 1].abs().max()
        largest = max(largest, float(change))
    return largest
