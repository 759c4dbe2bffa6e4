"""Write the shape table of `docs/architecture.md` from a traced forward pass: what goes in and what comes out."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from a1_basics.configs import TRAIN_LM
from a1_basics.model.attention import sdpa_attention
from a1_basics.model.transformer import TransformerLM
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.marked import replace_block
from shared.runs.config import preset
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in a document, no artifact

BEGIN, END = "<!-- shapes: begin -->", "<!-- shapes: end -->"
# Every dimension has a size of its own here, so that a traced size tells which dimension it is.
TRACED = ModelConfig(
    vocab_size=101, context_length=7, d_model=24, num_layers=2, num_heads=4, d_ff=64, num_kv_heads=2
)
BATCH, SEQ = 3, 7


@dataclass(frozen=True)
class Architecture:
    """Where the document lies, and which preset's numbers it shows."""

    document: Path = Path("docs/architecture.md")  # it holds the two marks
    sizes_of: str = "one_gpu"  # a preset of run.train_lm


PRESETS = {"default": Architecture()}


def main(config: Architecture) -> None:
    """Replace the table between the document's marks."""
    replace_block(config.document, BEGIN, END, shape_table(preset(TRAIN_LM, config.sizes_of).model))
    print(f"{config.document}: the table is that of the code, with the sizes of {config.sizes_of}")


def shape_table(model: ModelConfig) -> str:
    """Every part of the model in the order in which it runs, its shapes by name, its parameters in `model`."""
    names = {
        1: "1",
        BATCH: "batch",
        SEQ: "seq",
        TRACED.d_model: "d_model",
        TRACED.num_heads: "heads",
        TRACED.num_kv_heads: "kv_heads",
        TRACED.d_model // TRACED.num_heads: "head_dim",
        TRACED.d_model // TRACED.num_heads * (TRACED.num_kv_heads or 0): "kv_heads·head_dim",
        TRACED.d_ff: "d_ff",
        TRACED.vocab_size: "vocab",
    }

    def shape(sizes: tuple[int, ...]) -> str:
        return "(" + ", ".join(names[size] for size in sizes) + ")"

    counted = {name: tensor.numel() for name, tensor in meta_model(model).named_parameters()}
    rows = ["| part | what goes in | what comes out | parameters |", "| --- | --- | --- | ---: |"]
    for name, given, made in traced_calls(dataclasses.replace(TRACED, qk_norm=model.qk_norm)):
        number = counted.get(f"{name}.weight", 0)
        cells = (f"`{name}`", ", ".join(map(shape, given)), shape(made), f"{number:,}" if number else "–")
        rows.append("| " + " | ".join(cells) + " |")
    total = accounting.parameters(model).total
    per_layer = sum(number for name, number in counted.items() if name.startswith("layers.0."))
    rows.append(
        f"\n{model.num_layers} layers of {per_layer:,} parameters; {total:,} in all "
        f"(d_model {model.d_model:,}, {model.num_heads} heads, d_ff {model.d_ff:,}, vocabulary {model.vocab_size:,})."
    )
    return "\n".join(rows)


def traced_calls(config: ModelConfig = TRACED) -> list[tuple[str, list[tuple[int, ...]], tuple[int, ...]]]:
    """(part, input shapes, output shape) of the first layer and all that is outside the layers, in order of running."""
    model = TransformerLM(config)
    calls: list[tuple[str, list[tuple[int, ...]], tuple[int, ...]]] = []

    def note(name: str, given: tuple[Any, ...], made: Tensor) -> None:
        calls.append(
            (name, [tuple(each.shape) for each in given if isinstance(each, Tensor)], tuple(made.shape))
        )

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        read = sdpa_attention(layer, queries, keys, values)
        if layer == 0:
            note("attend(layer 0)", (queries, keys, values), read)
        return read

    parts: dict[str, Any] = dict(model.named_modules())
    for name, part in parts.items():
        is_leaf = not any(True for _ in part.children())
        if is_leaf and not name.startswith("layers.1"):
            part.register_forward_hook(lambda _, given, made, name=name: note(name, given, made))
    with torch.no_grad():
        model(torch.zeros(BATCH, SEQ, dtype=torch.long), attend=attend)
    # RoPE is one module that all layers call, on queries and on keys: the first two calls stand for all.
    ropes = [call for call in calls if call[0] == "rope"][2:]
    return [call for call in calls if not any(call is each for each in ropes)]


def meta_model(model: ModelConfig) -> nn.Module:
    """The model without its numbers: shapes cost no memory."""
    with torch.device("meta"):
        return TransformerLM(model)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
