"""A language model as a stack of slots, and the blocks that fill it: what the rungs of the ladder are built from.

`TransformerLM` is this workspace's model, with nothing to choose. A `StackLM` is what comes of putting other parts into
the same places; with the same parts it computes the same numbers, and its weights have the same names.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.attention import sdpa_attention
from a1_basics.model.layers import Embedding, Linear, linear
from a1_basics.model.transformer import first_positions
from shared.doors.protocols import Attend


def causal_average(features: Float[Tensor, "... seq d_model"]) -> Float[Tensor, "... seq d_model"]:
    """The mean of each position and all before it."""
    num_seen = torch.arange(1, features.shape[-2] + 1, device=features.device)
    return features.cumsum(dim=-2) / num_seen[:, None]


class Average(nn.Module):
    """The plainest mixer: the mean of a position and all before it, through one matrix.

    A bag of past words, for their order is lost. It is attention in which every score is equal.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.output_proj = Linear(d_model, d_model)

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: nn.Module | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        return self.output_proj(causal_average(features))


class MixingBlock(nn.Module):
    """What the mixer read from other positions, added to what stands at this one; then the feed-forward, if any.

    The feed-forward's output takes the place of its input: nothing goes around it.
    """

    def __init__(self, attn: nn.Module, ffn: nn.Module | None = None) -> None:
        super().__init__()
        self.attn, self.ffn = attn, ffn

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: nn.Module | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        mixed = self.attn(features, layer=layer, rope=rope, positions=positions, attend=attend)
        return features + mixed if self.ffn is None else self.ffn(features + mixed)


class ResidualBlock(nn.Module):
    """`x + dropout(attn(norm(x)))`, then `x + dropout(ffn(norm(x)))`: every part adds to the stream, none replaces it.

    Source: [preln-2020] figure 1b; dropout on each branch from [transformer-2017] section 5.4.
    """

    def __init__(
        self,
        attn: nn.Module,
        ffn: nn.Module,
        *,
        norms: tuple[nn.Module, nn.Module],
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.attn, self.ffn = attn, ffn
        self.ln1, self.ln2 = norms
        self.dropout = dropout or nn.Identity()

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: nn.Module | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        read = self.attn(self.ln1(features), layer=layer, rope=rope, positions=positions, attend=attend)
        features = features + self.dropout(read)
        return features + self.dropout(self.ffn(self.ln2(features)))


class StackLM(nn.Module):
    """Token ids in, next-token logits out, through whatever fills the slots.

    `layers` are called as `layer(features, layer=, rope=, positions=, attend=)`. Learned positions, RoPE, the final
    norm and dropout may be left out; without a head of its own the model reads logits off its embedding table.
    """

    def __init__(
        self,
        token_embeddings: Embedding,
        layers: Iterable[nn.Module],
        *,
        context_length: int,
        position_embeddings: nn.Module | None = None,
        rope: nn.Module | None = None,
        ln_final: nn.Module | None = None,
        lm_head: nn.Module | None = None,
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.token_embeddings = token_embeddings
        self.position_embeddings = position_embeddings
        self.layers = nn.ModuleList(layers)
        self.rope = rope
        self.ln_final = ln_final or nn.Identity()
        self.lm_head = lm_head
        self.dropout = dropout or nn.Identity()

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
        if positions is None:
            positions = first_positions(token_ids, self.context_length)
        features = self.token_embeddings(token_ids)
        if self.position_embeddings is not None:
            features = features + self.position_embeddings(positions)
        features = self.dropout(features)
        for layer, block in enumerate(self.layers):
            features = block(
                features,
                layer=layer,
                rope=self.rope,
                positions=positions[:, None],  # one row for all heads
                attend=attend or sdpa_attention,
            )
        features = self.ln_final(features)
        if self.lm_head is None:
            return linear(features, self.token_embeddings.weight)
        return self.lm_head(features)
