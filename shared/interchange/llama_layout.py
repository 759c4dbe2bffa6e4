"""Where each of our weights lies in a Llama, Qwen2 or Qwen3 checkpoint of Hugging Face, and in what order.

The three families are one architecture: Qwen2 adds biases on queries, keys and values, Qwen3 a norm on each query and
key head. Names differ from ours, values do not, except for the rows that RoPE turns. Ours turns neighbours, the
coordinates (2k, 2k+1); theirs turns k with k + head_dim/2. Queries and keys meet only in inner products, which do not
change when both are permuted alike: so the rows of both projections are reordered within each head, and what belongs
to these rows (biases, the gains of QK-norm) with them. Forgotten, the model still speaks fluently, and wrongly.

Source: [rope-2021] equation 34 (pairs of neighbours); [llama-2023], [qwen2-2024], [qwen3-2025] for the architectures.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from shared.doors.protocols import ModelConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
NOT_LEARNED = re.compile(r"\.rotary_emb\.inv_freq$")  # tables that old releases stored beside the weights


@dataclass(frozen=True)
class Row:
    """One tensor: its name here, its name there, and its shape, which is the same in both."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    turned_heads: int = 0  # its rows are so many heads that RoPE turns; 0: RoPE does not touch it

    @property
    def our_shapes(self) -> dict[str, tuple[int, ...]]:
        return {self.ours: self.shape}

    def to_theirs(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Our tensor in their order of rows."""
        tensor = weights[self.ours]
        return halves_from_pairs(tensor, self.turned_heads) if self.turned_heads else tensor

    def to_ours(self, tensor: Tensor) -> dict[str, Tensor]:
        """Their tensor in our order of rows, under our name."""
        return {self.ours: pairs_from_halves(tensor, self.turned_heads) if self.turned_heads else tensor}


def rows(config: ModelConfig) -> Iterator[Row]:
    """Every tensor of a model of this shape.

    >>> config = ModelConfig(vocab_size=8, context_length=4, d_model=6, num_layers=1, num_heads=3, d_ff=5)
    >>> [row.theirs for row in rows(config)][-1], len(list(rows(config)))
    ('lm_head.weight', 12)
    """
    d_model, head_dim, heads = config.d_model, config.width_per_head, config.num_heads
    kv_heads = config.num_kv_heads or heads
    yield Row("token_embeddings.weight", EMBEDDING, (config.vocab_size, d_model))
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}", f"model.layers.{layer}"
        yield Row(f"{ours}.ln1.weight", f"{theirs}.input_layernorm.weight", (d_model,))
        for name, num, turned in (("q", heads, heads), ("k", kv_heads, kv_heads), ("v", kv_heads, 0)):
            here, there = f"{ours}.attn.{name}_proj", f"{theirs}.self_attn.{name}_proj"
            yield Row(f"{here}.weight", f"{there}.weight", (num * head_dim, d_model), turned)
            if config.qkv_bias:
                yield Row(f"{here}.bias", f"{there}.bias", (num * head_dim,), turned)
            if config.qk_norm and turned:  # all heads share one vector of gains
                here, there = f"{ours}.attn.{name}_norm", f"{theirs}.self_attn.{name}_norm"
                yield Row(f"{here}.weight", f"{there}.weight", (head_dim,), 1)
        here, there = f"{ours}.attn.output_proj.weight", f"{theirs}.self_attn.o_proj.weight"
        yield Row(here, there, (d_model, heads * head_dim))
        yield Row(f"{ours}.ln2.weight", f"{theirs}.post_attention_layernorm.weight", (d_model,))
        yield Row(f"{ours}.ffn.w1.weight", f"{theirs}.mlp.gate_proj.weight", (config.d_ff, d_model))
        yield Row(f"{ours}.ffn.w3.weight", f"{theirs}.mlp.up_proj.weight", (config.d_ff, d_model))
        yield Row(f"{ours}.ffn.w2.weight", f"{theirs}.mlp.down_proj.weight", (d_model, config.d_ff))
    yield Row("ln_final.weight", "model.norm.weight", (d_model,))
    if not config.tied_embeddings:
        yield Row("lm_head.weight", HEAD, (config.vocab_size, d_model))


def halves_from_pairs(rows_of_heads: Tensor, heads: int) -> Tensor:
    """Reorder the rows of each head from (pair, member) to (member, pair): ours to theirs.

    >>> import torch
    >>> halves_from_pairs(torch.arange(8), heads=2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return rows_of_heads.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def pairs_from_halves(rows_of_heads: Tensor, heads: int) -> Tensor:
    """The inverse of `halves_from_pairs`: theirs to ours."""
    return rows_of_heads.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def output_biases(config: ModelConfig) -> list[str]:
    """Their names of the biases that we cannot hold: those of attention's output projection.

    Their switch for biases (`attention_bias`; Qwen2 has none to switch) gives one to the output projection too.
    """
    return [f"model.layers.{layer}.self_attn.o_proj.bias" for layer in range(config.num_layers)]
