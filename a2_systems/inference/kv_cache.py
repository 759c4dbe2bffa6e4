"""A cache of keys and values: each token is computed once, and every later one reads what it left.

    cache = KVCache.for_model(model, shape, batch=1)
    logits = model(prompt, attend=cache)                      # the prompt in one pass
    logits = model(next_token, cache.next_positions(1), cache)   # then a token at a time

The clear version: all sequences of the batch are equally long. `paged_attention` serves many of different lengths.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a2_systems.kernels.attend import sdpa_attention
from shared.doors.protocols import ModelConfig


class KVCache:
    """An `attend` that remembers: what every layer's keys and values were, in the order of positions."""

    def __init__(
        self,
        num_layers: int,
        batch: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        shape = (num_layers, batch, kv_heads, capacity, head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.length = 0  # positions that all layers hold

    @classmethod
    def for_model(cls, model: nn.Module, shape: ModelConfig, batch: int) -> "KVCache":
        """As large as the model's context, of its numbers' kind, where it lies."""
        weight = next(model.parameters())
        kv_heads, head_dim = shape.num_kv_heads or shape.num_heads, shape.width_per_head
        return cls(
            shape.num_layers, batch, kv_heads, shape.context_length, head_dim, weight.dtype, weight.device
        )

    def __call__(
        self,
        layer: int,
        queries: Float[Tensor, "batch heads q_len head_dim"],
        keys: Float[Tensor, "batch kv_heads q_len head_dim"],
        values: Float[Tensor, "batch kv_heads q_len head_dim"],
    ) -> Float[Tensor, "batch heads q_len head_dim"]:
        """Keep the new keys and values behind the old ones, and let the queries read all of them.

        Raises:
            ValueError: more positions than the cache has room for.
        """
        end = self.length + keys.shape[2]
        capacity = self.keys.shape[3]
        if end > capacity:
            raise ValueError(
                f"{end} positions do not fit a cache of {capacity}; the model's context is that long"
            )
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        if layer == len(self.keys) - 1:
            self.length = end  # only now: within one pass every layer writes at the same positions
        return sdpa_attention(layer, queries, self.keys[layer, :, :, :end], self.values[layer, :, :, :end])

    def next_positions(self, num_tokens: int) -> Int[Tensor, "batch num_tokens"]:
        """The positions of the tokens that come next."""
        positions = torch.arange(self.length, self.length + num_tokens, device=self.keys.device)
        return positions.expand(self.keys.shape[1], -1)

    def cut(self, length: int) -> None:
        """Forget all positions from `length` on, as if they had never been read."""
        self.length = min(self.length, length)


def greedy_tokens(
    model: nn.Module, shape: ModelConfig, prompt: Int[Tensor, "batch seq"], max_new_tokens: int
) -> Iterator[Int[Tensor, "batch"]]:
    """The most probable continuation of each prompt, a token of each at a time, until the context is full."""
    cache = KVCache.for_model(model, shape, prompt.shape[0])
    tokens = prompt
    for _ in range(min(max_new_tokens, shape.context_length - prompt.shape[1])):
        with torch.inference_mode():
            logits = model(tokens, cache.next_positions(tokens.shape[1]), cache)
            best = logits[:, -1].argmax(-1)
        yield best
        tokens = best[:, None]
