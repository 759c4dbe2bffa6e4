"""Where each of our weights lies in a Llama, Qwen2 or Qwen3 checkpoint of Hugging Face, and in what order.

The three families are one architecture: Qwen2 adds biases on queries, keys and values, Qwen3 a norm on each query and
key head. Names differ from ours, values do not, except for the rows that RoPE turns. Ours turns neighbours, the
coordinates (2k, 2k+1); theirs turns k with k + head_dim/2. Queries and keys meet only in inner products, which do not
change when both are permuted alike: so the rows of both projections are reordered within each head, and what belongs
to these rows (biases, the gains of QK-norm) with them. Forgotten, the model still speaks fluently, and wrongly.

Source: [rope-2021] equation 34 (pairs of neighbours); [llama-2023], [qwen2-2024], [qwen3-2025] for the architectures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from shared.doors.protocols import ModelConfig
from shared.errors import DataError


@dataclass(frozen=True)
class Row:
    """One tensor: its name here, its name there, and its shape, which is the same in both."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    turned_heads: int = 0  # its rows are so many heads that RoPE turns; 0: RoPE does not touch it


def rows(config: ModelConfig) -> Iterator[Row]:
    """Every tensor of a model of this shape.

    >>> config = ModelConfig(vocab_size=8, context_length=4, d_model=6, num_layers=1, num_heads=3, d_ff=5)
    >>> [row.theirs for row in rows(config)][-1], len(list(rows(config)))
    ('lm_head.weight', 12)
    """
    d_model, head_dim, heads = config.d_model, config.width_per_head, config.num_heads
    kv_heads = config.num_kv_heads or heads
    yield Row("token_embeddings.weight", "model.embed_tokens.weight", (config.vocab_size, d_model))
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
        yield Row("lm_head.weight", "lm_head.weight", (config.vocab_size, d_model))


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


def to_theirs(
    config: ModelConfig, weights: Mapping[str, Tensor], *, has_output_bias: bool = False
) -> dict[str, Tensor]:
    """A state dict of ours under their names and in their order of rows.

    Their switch for biases (`attention_bias`) gives one to the output projection too. Ours has none there: with
    `has_output_bias` it is written as zeros.

    Raises:
        DataError: tensors that a model of this shape lacks, does not have, or has in another shape.
    """
    wanted = list(rows(config))
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    require_shapes({row.ours: row.shape for row in wanted}, shapes, "the checkpoint")
    theirs = {}
    for row in wanted:
        tensor = weights[row.ours]
        theirs[row.theirs] = halves_from_pairs(tensor, row.turned_heads) if row.turned_heads else tensor
    if has_output_bias:
        zeros = weights["token_embeddings.weight"].new_zeros(config.d_model)
        theirs |= {name: zeros.clone() for name in output_biases(config)}
    return theirs


def to_ours(row: Row, tensor: Tensor) -> Tensor:
    """One tensor of theirs in our order of rows."""
    return pairs_from_halves(tensor, row.turned_heads).contiguous() if row.turned_heads else tensor


def output_biases(config: ModelConfig) -> list[str]:
    """Their names of the biases that we cannot hold: those of attention's output projection."""
    return [f"model.layers.{layer}.self_attn.o_proj.bias" for layer in range(config.num_layers)]


def require_shapes(
    wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Refuse tensors that are missing, unknown or of another shape, before any of them is read.

    Raises:
        DataError: names the first three of each sort.
    """
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    misfits = [
        f"{name} is {list(found[name])}, wanted {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    said = [
        f"{title}: {'; '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for title, names in (("lacks", missing), ("has unknown", unknown), ("has other shapes", misfits))
        if names
    ]
    if said:
        raise DataError(
            f"{where} does not hold the tensors that its configuration asks for. It {'. It '.join(said)}. "
            "Its config.json and its weights are not of one model, or it computes what this workspace does not."
        )
