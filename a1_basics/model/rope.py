"""Rotary position embedding: each pair of coordinates turns by an angle proportional to the position.

Two vectors turned so have an inner product that depends only on how far apart their positions are.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def rope_frequencies(head_dim: int, theta: float) -> Float[Tensor, "half"]:
    """Radians per position of each coordinate pair: `theta ** (-2k / head_dim)` for pair k, in float64.

    Raises:
        ValueError: head_dim is odd; coordinates turn in pairs.
    Source: [rope-2021] section 3.2.2, equation 15.
    """
    if head_dim % 2:
        raise ValueError(f"head_dim={head_dim} must be even: RoPE turns coordinates in pairs")
    return theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)


def rotate_pairs(
    features: Float[Tensor, "... seq head_dim"],
    cosines: Float[Tensor, "... seq half"],
    sines: Float[Tensor, "... seq half"],
) -> Float[Tensor, "... seq head_dim"]:
    """Turn each neighbouring pair (2k, 2k+1) by its angle; the pairs stay neighbours in the result.

    Differs: published Llama and Qwen weights pair coordinate k with k + head_dim/2; the same map, rows permuted.
    """
    even, odd = features[..., 0::2], features[..., 1::2]
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
    return turned.flatten(-2).to(features.dtype)


def rotate_pairs_complex(
    features: Float[Tensor, "... seq head_dim"],
    cosines: Float[Tensor, "... seq half"],
    sines: Float[Tensor, "... seq half"],
) -> Float[Tensor, "... seq head_dim"]:
    """The fast `rotate_pairs`: each pair is one complex number, and turning it is one complex product.

    Reads and writes memory once where the clear version gathers and scatters every second number.
    """
    pairs = torch.view_as_complex(features.to(cosines.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.complex(cosines, sines)).flatten(-2).to(features.dtype)


class RotaryEmbedding(nn.Module):
    """RoPE with its cosines and sines looked up from a table of `max_positions` rows.

    The angles are formed in float64 and stored as float32: in half precision, position 1000 and position 1001
    would be one number. The table is no part of the state dict, for it holds nothing learned.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self, head_dim: int, theta: float, max_positions: int, *, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        positions = torch.arange(max_positions, dtype=torch.float64)
        angles = torch.outer(positions, rope_frequencies(head_dim, theta))
        self.register_buffer("cosines", angles.cos().float().to(device), persistent=False)
        self.register_buffer("sines", angles.sin().float().to(device), persistent=False)

    def forward(
        self, features: Float[Tensor, "... seq head_dim"], positions: Int[Tensor, "... seq"]
    ) -> Float[Tensor, "... seq head_dim"]:
        """Turn queries or keys at these positions; `positions` may lack leading dimensions (heads, batch)."""
        return rotate_pairs_complex(features, self.cosines[positions], self.sines[positions])
