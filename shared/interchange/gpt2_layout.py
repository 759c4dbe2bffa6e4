"""Where each weight of a classic model lies in a GPT-2 checkpoint of Hugging Face, and what its `config.json` says.

Two things differ besides names. Their matrices are stored as (d_in, d_out), the transpose of ours. And queries, keys
and values are one matrix, side by side. GPT-2 learns its positions and turns nothing, so no rows are reordered.

Source: [gpt2-2019] section 2.3.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shared.doors.protocols import ClassicConfig
from shared.errors import DataError
from shared.interchange.checked_numbers import count, positive

PREFIX = "transformer."  # absent in OpenAI's own release, present in what transformers saves
EMBEDDING, HEAD = "wte.weight", "lm_head.weight"
NOT_LEARNED = re.compile(r"\.attn\.(bias|masked_bias)$")  # the causal mask, which old releases stored
GELU_BY_TANH = ("gelu_new", "gelu_pytorch_tanh")


@dataclass(frozen=True)
class Row:
    """One of their tensors, and those of ours that it holds one after another."""

    ours: tuple[str, ...]
    theirs: str
    shape: tuple[int, ...]  # theirs
    is_transposed: bool = False

    @property
    def our_shapes(self) -> dict[str, tuple[int, ...]]:
        first, *rest = reversed(self.shape) if self.is_transposed else self.shape
        return dict.fromkeys(self.ours, (first // len(self.ours), *rest))

    def to_theirs(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Our tensors as theirs."""
        joined = torch.cat([weights[name] for name in self.ours])
        return joined.T if self.is_transposed else joined

    def to_ours(self, tensor: Tensor) -> dict[str, Tensor]:
        """Their tensor as ours."""
        parts = (tensor.T if self.is_transposed else tensor).chunk(len(self.ours))
        return dict(zip(self.ours, parts, strict=True))


def rows(config: ClassicConfig, prefix: str = PREFIX) -> Iterator[Row]:
    """Every tensor of a model of this shape.

    >>> config = ClassicConfig(vocab_size=8, context_length=4, d_model=6, num_layers=1, num_heads=3, d_ff=5)
    >>> [row.theirs for row in rows(config)][2:5]
    ['transformer.h.0.ln_1.weight', 'transformer.h.0.ln_1.bias', 'transformer.h.0.attn.c_attn.weight']
    """
    d_model, d_ff = config.d_model, config.d_ff

    def norm(ours: str, theirs: str) -> Iterator[Row]:
        for kind in ("weight", "bias"):
            yield Row((f"{ours}.{kind}",), f"{theirs}.{kind}", (d_model,))

    def matrix(ours: tuple[str, ...], theirs: str, d_in: int, d_out: int) -> Iterator[Row]:
        weights, biases = (tuple(f"{name}.{kind}" for name in ours) for kind in ("weight", "bias"))
        yield Row(weights, f"{theirs}.weight", (d_in, len(ours) * d_out), is_transposed=True)
        yield Row(biases, f"{theirs}.bias", (len(ours) * d_out,))

    yield Row(("token_embeddings.weight",), prefix + EMBEDDING, (config.vocab_size, d_model))
    yield Row(("position_embeddings.weight",), f"{prefix}wpe.weight", (config.context_length, d_model))
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}", f"{prefix}h.{layer}"
        yield from norm(f"{ours}.ln1", f"{theirs}.ln_1")
        projections = tuple(f"{ours}.attn.{name}_proj" for name in ("q", "k", "v"))
        yield from matrix(projections, f"{theirs}.attn.c_attn", d_model, d_model)
        yield from matrix((f"{ours}.attn.output_proj",), f"{theirs}.attn.c_proj", d_model, d_model)
        yield from norm(f"{ours}.ln2", f"{theirs}.ln_2")
        yield from matrix((f"{ours}.ffn.w1",), f"{theirs}.mlp.c_fc", d_model, d_ff)
        yield from matrix((f"{ours}.ffn.w2",), f"{theirs}.mlp.c_proj", d_ff, d_model)
    yield from norm("ln_final", f"{prefix}ln_f")


def to_config_json(config: ClassicConfig, *, dtype: str, end_token: int | None) -> dict[str, Any]:
    """The object to write as `config.json`."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.d_ff,
        "activation_function": GELU_BY_TANH[0],
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": end_token,
        "eos_token_id": end_token,
        "torch_dtype": dtype,
        "dtype": dtype,
    }


def from_config_json(record: Mapping[str, Any]) -> ClassicConfig:
    """The shape that a `config.json` asks for; where it is silent, that of the smallest GPT-2.

    Dropout is not taken over: it belongs to a training, and theirs drops attention weights too, which ours does not.

    Raises:
        DataError: an option that the classic model does not compute, by name; a number that is none.
    """
    for key, known in (
        ("activation_function", GELU_BY_TANH),
        ("scale_attn_weights", (True,)),
        ("scale_attn_by_inverse_layer_idx", (False,)),
        ("add_cross_attention", (False,)),
        ("tie_word_embeddings", (True,)),
        ("quantization_config", (None,)),
        ("auto_map", (None,)),
    ):
        if record.get(key, known[0]) not in known:
            raise DataError(
                f"this GPT-2 has {key}={record[key]!r}, which the workspace's classic model does not compute; "
                f"wanted {' or '.join(map(repr, known))}"
            )
    plain = ClassicConfig()
    said = {
        "vocab_size": plain.vocab_size,
        "n_positions": plain.context_length,
        "n_embd": plain.d_model,
        "n_layer": plain.num_layers,
        "n_head": plain.num_heads,
        "layer_norm_epsilon": plain.norm_eps,
    } | dict(record)
    d_model, num_heads = count(said, "n_embd"), count(said, "n_head")
    if d_model % num_heads:
        raise DataError(f"config.json has n_embd={d_model}, no multiple of its {num_heads} heads")
    return ClassicConfig(
        vocab_size=count(said, "vocab_size"),
        context_length=count(said, "n_positions"),
        d_model=d_model,
        num_layers=count(said, "n_layer"),
        num_heads=num_heads,
        d_ff=4 * d_model if said.get("n_inner") is None else count(said, "n_inner"),
        norm_eps=positive(said, "layer_norm_epsilon"),
    )
