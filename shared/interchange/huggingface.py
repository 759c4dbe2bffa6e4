"""A model as a Hugging Face directory: `config.json`, safetensors weights, `generation_config.json`; written and read.

Knows no Hugging Face package: a directory is JSON and safetensors, and transformers is only the judge in the tests.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from shared.doors.protocols import ModelConfig
from shared.errors import DataError
from shared.interchange import llama_layout
from shared.interchange.model_shape import family_of, from_config_json, to_config_json
from shared.interchange.weight_files import WeightFiles, read_json_object, write_weights
from shared.store.disk import write_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
NOT_LEARNED = re.compile(r"\.rotary_emb\.inv_freq$")  # tables that old releases stored beside the weights


def write_model(
    folder: Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    family: str | None = None,
    dtype: torch.dtype | None = None,
    end_token: int | None = None,
    max_shard_bytes: int = 5_000_000_000,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a model so that `AutoModelForCausalLM.from_pretrained(folder)` loads it.

    `family` None takes the one that is known for the model's options; a Qwen2 can be written as a Llama with
    `attention_bias` as well. `dtype` None keeps the type in which the weights are stored; `metadata` goes into the
    header of each weight file.

    Raises:
        DataError: weights that are not of this shape, or a shape that Hugging Face's code does not take.
    """
    family = family or family_of(config)
    has_output_bias = config.qkv_bias and family != "qwen2"
    theirs = llama_layout.to_theirs(config, weights, has_output_bias=has_output_bias)
    if dtype is not None:
        theirs = {name: tensor.to(dtype) for name, tensor in theirs.items()}
    stored = str(weights["token_embeddings.weight"].dtype if dtype is None else dtype).removeprefix("torch.")
    write_json(folder / "config.json", to_config_json(config, family, dtype=stored, end_token=end_token))
    ends = {"bos_token_id": end_token, "eos_token_id": end_token, "pad_token_id": end_token}
    write_json(
        folder / "generation_config.json", {"do_sample": False} | (ends if end_token is not None else {})
    )
    write_weights(folder, theirs, max_shard_bytes=max_shard_bytes, metadata=metadata or {})


def read_shape(folder: Path) -> ModelConfig:
    """The shape that the directory's `config.json` asks for.

    Raises:
        DataError: see `model_shape.from_config_json`.
    """
    return from_config_json(read_json_object(folder / "config.json"))


def read_model(
    folder: Path, on_tensor: Callable[[int], None] | None = None
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The shape and the weights, in our names and our order of rows, in the type in which they are stored.

    Everything is checked on the headers before a weight is read. `on_tensor` is told the bytes of each as it comes.

    Raises:
        DataError: see `model_shape.from_config_json`, `weight_files.WeightFiles` and `llama_layout.require_shapes`;
            also weights that are no floating-point numbers, or that have no place in our model.
    """
    config = read_shape(folder)
    files = WeightFiles(folder)
    found = {name: shape for name, shape in files.shapes.items() if not NOT_LEARNED.search(name)}
    if config.num_layers > len(found):
        raise DataError(
            f"config.json speaks of {config.num_layers} layers, and the weights are {len(found)} tensors"
        )
    for name in _idle_tensors(config, files):
        del found[name]
    table = list(llama_layout.rows(config))
    llama_layout.require_shapes({row.theirs: row.shape for row in table}, found, str(folder))
    weights = {}
    for row in table:
        tensor = files.read(row.theirs)
        if tensor.dtype not in DTYPES.values():
            raise DataError(
                f"{row.theirs} in {folder} is stored as {tensor.dtype}; the types that can be read are "
                f"{', '.join(DTYPES)}. Convert the checkpoint to one of these first."
            )
        if not bool(tensor.isfinite().all()):
            raise DataError(f"{row.theirs} in {folder} holds numbers that are not finite: a damaged file")
        weights[row.ours] = llama_layout.to_ours(row, tensor)
        if on_tensor is not None:
            on_tensor(tensor.nbytes)
    return config, weights


def _idle_tensors(config: ModelConfig, files: WeightFiles) -> list[str]:
    """Tensors that our model has no place for and that change nothing, once that is certain.

    A tied model may store its table a second time; a bias on the output projection may be zero.
    """
    idle = [name for name in llama_layout.output_biases(config) if config.qkv_bias and name in files.shapes]
    for name in idle:
        if bool(files.read(name).any()):
            raise DataError(
                f"{name} in {files.folder} is not zero: this model has a bias on attention's output projection, "
                "which the workspace's transformer has not"
            )
    head, table = "lm_head.weight", "model.embed_tokens.weight"
    if config.tied_embeddings and head in files.shapes:
        if table in files.shapes and not torch.equal(files.read(head), files.read(table)):
            raise DataError(
                f"{files.folder} says tie_word_embeddings, and its {head} is not its {table}: one of both is wrong"
            )
        idle.append(head)
    return idle
