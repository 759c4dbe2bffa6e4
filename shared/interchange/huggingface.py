"""A model as a Hugging Face directory: `config.json`, safetensors weights, `generation_config.json`; written and read.

Knows no Hugging Face package: a directory is JSON and safetensors, and transformers is only the judge in the tests.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from shared.doors.protocols import ClassicConfig, ModelShape
from shared.errors import DataError
from shared.interchange import gpt2_layout, llama_layout, model_shape
from shared.interchange.weight_files import WeightFiles, read_json_object, write_weights
from shared.store.disk import write_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def write_model(
    folder: Path,
    config: ModelShape,
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
    table = list(_rows(config))
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {name: shape for row in table for name, shape in row.our_shapes.items()}
    require_shapes(wanted, found, "the checkpoint")
    theirs = {row.theirs: row.to_theirs(weights) for row in table}
    stored = str(weights["token_embeddings.weight"].dtype if dtype is None else dtype).removeprefix("torch.")
    if isinstance(config, ClassicConfig):
        record = gpt2_layout.to_config_json(config, dtype=stored, end_token=end_token)
    else:
        family = family or model_shape.family_of(config)
        record = model_shape.to_config_json(config, family, dtype=stored, end_token=end_token)
        if config.qkv_bias and family != "qwen2":
            zeros = weights["ln_final.weight"].new_zeros(config.d_model)
            theirs |= {name: zeros.clone() for name in llama_layout.output_biases(config)}
    if dtype is not None:
        theirs = {name: tensor.to(dtype) for name, tensor in theirs.items()}
    write_json(folder / "config.json", record)
    ends = {"bos_token_id": end_token, "eos_token_id": end_token, "pad_token_id": end_token}
    write_json(
        folder / "generation_config.json", {"do_sample": False} | (ends if end_token is not None else {})
    )
    write_weights(folder, theirs, max_shard_bytes=max_shard_bytes, metadata=metadata or {})


def read_shape(folder: Path) -> ModelShape:
    """The shape that the directory's `config.json` asks for.

    Raises:
        DataError: a family or an option that is not computed here, by name; a number that is none.
    """
    record = read_json_object(folder / "config.json")
    if record.get("model_type") == "gpt2":
        return gpt2_layout.from_config_json(record)
    return model_shape.from_config_json(record)


def read_model(
    folder: Path, on_tensor: Callable[[int], None] | None = None
) -> tuple[ModelShape, dict[str, Tensor]]:
    """The shape and the weights, in our names and our order of rows, in the type in which they are stored.

    Names and shapes are checked on the headers before a weight is read. `on_tensor` is told the bytes of each as it
    comes.

    Raises:
        DataError: see `read_shape`, `weight_files.WeightFiles` and `require_shapes`; also weights that are no finite
            floating-point numbers, or that have no place in our model.
    """
    config, files = read_shape(folder), WeightFiles(folder)
    if config.num_layers > len(files.shapes):
        raise DataError(
            f"config.json speaks of {config.num_layers} layers, and the weights are {len(files.shapes)} tensors"
        )
    idle = set(_idle_tensors(config, files))
    table = list(_rows(config, _prefix(files)))
    found = {name: shape for name, shape in files.shapes.items() if name not in idle}
    require_shapes({row.theirs: row.shape for row in table}, found, str(folder))
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
        weights |= {name: part.contiguous() for name, part in row.to_ours(tensor).items()}
        if on_tensor is not None:
            on_tensor(tensor.nbytes)
    return config, weights


class _Row(Protocol):
    """What the rows of both layouts offer."""

    @property
    def theirs(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def our_shapes(self) -> dict[str, tuple[int, ...]]: ...

    def to_theirs(self, weights: Mapping[str, Tensor]) -> Tensor: ...

    def to_ours(self, tensor: Tensor) -> dict[str, Tensor]: ...


def _rows(config: ModelShape, prefix: str = gpt2_layout.PREFIX) -> Iterator[_Row]:
    if isinstance(config, ClassicConfig):
        return gpt2_layout.rows(config, prefix)
    return llama_layout.rows(config)


def _prefix(files: WeightFiles) -> str:
    return "" if gpt2_layout.EMBEDDING in files.shapes else gpt2_layout.PREFIX


def _idle_tensors(config: ModelShape, files: WeightFiles) -> Iterator[str]:
    """Tensors that our model has no place for and that change nothing, once that is certain.

    A tied model may store its table a second time; a bias on the output projection may be zero.
    """
    if isinstance(config, ClassicConfig):
        layout, table, is_tied, biases = gpt2_layout, _prefix(files) + gpt2_layout.EMBEDDING, True, []
    else:
        layout, table, is_tied = llama_layout, llama_layout.EMBEDDING, config.tied_embeddings
        biases = llama_layout.output_biases(config) if config.qkv_bias else []
    yield from (name for name in files.shapes if layout.NOT_LEARNED.search(name))
    for name in biases:
        if name in files.shapes:
            if bool(files.read(name).any()):
                raise DataError(
                    f"{name} in {files.folder} is not zero: this model has a bias on attention's output "
                    "projection, which the workspace's transformer has not"
                )
            yield name
    if is_tied and layout.HEAD in files.shapes:
        if table in files.shapes and not torch.equal(files.read(layout.HEAD), files.read(table)):
            raise DataError(
                f"{files.folder} ties its tables, and its {layout.HEAD} is not its {table}: one of both is wrong"
            )
        yield layout.HEAD


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
