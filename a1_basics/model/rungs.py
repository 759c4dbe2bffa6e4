"""The rungs from a bigram to a modern transformer, as data: each is the one before it with one thing changed.

`LADDER`, read from top to bottom, is a history of the field in thirteen lines. What a part is for shows in the loss of
the rung that adds it. The counted bigram, which nothing trains, stands before them all.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from a1_basics.model.attention import SelfAttention
from a1_basics.model.classic import Dropout, FeedForward, LayerNorm, classic_attention
from a1_basics.model.fused import fused_silu
from a1_basics.model.layers import Embedding, Linear, RMSNorm, SwiGLU
from a1_basics.model.rope import RotaryEmbedding
from a1_basics.model.stack import Average, MixingBlock, ResidualBlock, StackLM

ROPE_THETA = 10_000.0


@dataclass(frozen=True)
class Shape:
    """The sizes that all rungs share; a rung uses those that it has a part for."""

    vocab_size: int
    context_length: int = 64  # tokens
    d_model: int = 64
    num_layers: int = 4  # from the residual rung on; below it, one
    num_heads: int = 4  # from the multi-head rung on
    num_kv_heads: int = 2  # from the grouped-query rung on
    dropout: float = 0.1  # fraction zeroed, from the dropout rung on


@dataclass(frozen=True)
class Parts:
    """What fills the slots of a `StackLM`; None leaves a slot empty."""

    mixer: Callable[[Shape], nn.Module] | None = None
    feed_forward: Callable[[Shape], nn.Module] | None = None
    norm: Callable[[int], nn.Module] | None = None  # with it come the residuals, and all the layers
    learns_positions: bool = False
    turns_positions: bool = False  # RoPE
    drops: bool = False

    def build(self, shape: Shape) -> StackLM:
        """The model of these parts, its random numbers from torch's global generator."""
        width, context_length = shape.d_model, shape.context_length
        dropout = shape.dropout if self.drops else 0.0
        head_dim = width // shape.num_heads
        return StackLM(
            Embedding(shape.vocab_size, width),
            self.layers(shape, dropout),
            context_length=context_length,
            position_embeddings=Embedding(context_length, width) if self.learns_positions else None,
            rope=RotaryEmbedding(head_dim, ROPE_THETA, context_length) if self.turns_positions else None,
            ln_final=self.norm(width) if self.norm else None,
            lm_head=Linear(width, shape.vocab_size),
            dropout=Dropout(dropout),
        )

    def layers(self, shape: Shape, dropout: float) -> list[nn.Module]:
        """No block, one, or with norms the whole stack."""
        if self.mixer is None:
            return []
        if self.norm is None or self.feed_forward is None:
            return [MixingBlock(self.mixer(shape), self.feed_forward(shape) if self.feed_forward else None)]
        return [
            ResidualBlock(
                self.mixer(shape),
                self.feed_forward(shape),
                norms=(self.norm(shape.d_model), self.norm(shape.d_model)),
                dropout=Dropout(dropout),
            )
            for _ in range(shape.num_layers)
        ]


def average(shape: Shape) -> nn.Module:
    """The mean of all past positions."""
    return Average(shape.d_model)


def one_head(shape: Shape) -> nn.Module:
    """One head, as wide as the model."""
    return classic_attention(shape.d_model, 1)


def many_heads(shape: Shape) -> nn.Module:
    """The same matrices, cut into heads that look at different places."""
    return classic_attention(shape.d_model, shape.num_heads)


def grouped_heads(shape: Shape) -> nn.Module:
    """Fewer key and value heads than query heads, and no biases."""
    return SelfAttention(shape.d_model, shape.num_heads, num_kv_heads=shape.num_kv_heads)


def normed_heads(shape: Shape) -> nn.Module:
    """The same with each query and key normalised."""
    return SelfAttention(shape.d_model, shape.num_heads, num_kv_heads=shape.num_kv_heads, qk_norm=True)


def classic_feed_forward(shape: Shape) -> nn.Module:
    """GELU between two matrices, four times as wide as the model."""
    return FeedForward(shape.d_model, 4 * shape.d_model)


def gated_feed_forward(shape: Shape) -> nn.Module:
    """SwiGLU of a width at which its three matrices cost what the two of the classic one do."""
    return SwiGLU(shape.d_model, gated_width(shape.d_model), activation=fused_silu)


def gated_width(d_model: int, multiple: int = 8) -> int:
    """8/3 of `d_model`, rounded up to whole multiples.

    >>> gated_width(384), gated_width(64)
    (1024, 176)
    """
    return -(-8 * d_model // (3 * multiple)) * multiple


@dataclass(frozen=True)
class Rung:
    """One model of the ladder: what it is called, what it adds, what it is made of and how it is trained."""

    name: str
    new: str
    parts: Parts
    max_learning_rate: float
    optimizer: str = "adamw"  # adamw | muon

    def next(self, name: str, new: str, **changes: object) -> "Rung":
        """The rung after this one: the same but for the changes, to its parts or to how it is trained."""
        own = {field.name for field in dataclasses.fields(self)}
        parts = {key: value for key, value in changes.items() if key not in own}
        training = {key: value for key, value in changes.items() if key in own}
        return dataclasses.replace(
            self, name=name, new=new, parts=dataclasses.replace(self.parts, **parts), **training
        )


def climb() -> tuple[Rung, ...]:
    """The rungs in order."""
    bigram = Rung("neural bigram", "learned by gradient descent, not counted", Parts(), 3e-2)
    averaging = bigram.next(
        "averaging", "the mean of all past characters, in any order", mixer=average, max_learning_rate=2e-2
    )
    head = averaging.next(
        "one head",
        "attention: weights that depend on content and position",
        mixer=one_head,
        learns_positions=True,
    )
    heads = head.next("multi-head", "several places looked at at once", mixer=many_heads)
    thinking = heads.next(
        "feed-forward", "each position thinks about what it read", feed_forward=classic_feed_forward
    )
    deep = thinking.next(
        "residual + LayerNorm",
        "a way around every part: several layers can be trained",
        norm=LayerNorm,
        max_learning_rate=3e-3,
    )
    dropping = deep.next(
        "dropout",
        "numbers left out at random, against learning by heart",
        drops=True,
        max_learning_rate=6e-3,
    )
    simple = dropping.next("RMSNorm", "no mean taken out, no offset: less work", norm=RMSNorm)
    turning = simple.next(
        "RoPE", "positions as angles: distance, not place", learns_positions=False, turns_positions=True
    )
    gated = turning.next("SwiGLU", "a gate on every hidden number", feed_forward=gated_feed_forward)
    grouped = gated.next(
        "GQA", "keys and values shared by groups of heads: a smaller cache", mixer=grouped_heads
    )
    normed = grouped.next(
        "QK-norm", "queries and keys brought to one length: scores that cannot explode", mixer=normed_heads
    )
    muon = normed.next(
        "Muon", "orthogonal steps for the hidden matrices", optimizer="muon", max_learning_rate=1.2e-2
    )
    return (
        bigram, averaging, head, heads, thinking, deep, dropping, simple, turning, gated, grouped, normed, muon,
    )  # fmt: skip


LADDER = climb()
