"""Checkpoint: weights as safetensors and the model's shape as JSON. Nothing is unpickled."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.doors.protocols import ClassicConfig, ModelConfig, ModelShape
from shared.errors import ArtifactError
from shared.store.artifacts import Artifact, Draft

CLASSIC = "classic"  # the `architecture` of a ClassicConfig in model.json; a ModelConfig's has none


def write_checkpoint(
    draft: Draft,
    model_config: ModelShape,
    state_dict: Mapping[str, Tensor],
    training: dict[str, Any] | None = None,
) -> None:
    """Write weights, shape and, if given, the record of the training (steps, seed, final loss; nothing
    timed).

    Tensors that share memory (tied embeddings) are written once per name, so that any reader finds every key.

    Raises:
        ArtifactError: the disk has less room than the weights take.
    """
    tensors = unshared(state_dict)
    draft.require_free(sum(tensor.nbytes for tensor in tensors.values()))
    save_file(tensors, draft.path / "model.safetensors", metadata={"format": "pt"})
    records = {"model.json": _to_record(model_config)} | ({"training.json": training} if training else {})
    for name, record in records.items():
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False)
        (draft.path / name).write_text(text + "\n", encoding="utf-8")


def unshared(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each with memory of its own, as safetensors asks; what is not shared is not copied."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in state_dict.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        tensors[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return tensors


def _to_record(config: ModelShape) -> dict[str, Any]:
    is_plain = isinstance(config, ModelConfig)
    return dataclasses.asdict(config) | ({} if is_plain else {"architecture": CLASSIC})


def read_shape(artifact: Artifact) -> ModelShape:
    """The model's shape, without its weights.

    Raises:
        ArtifactError: fields of the shape that this code does not know.
    """
    record = json.loads(artifact.file("model.json").read_text(encoding="utf-8"))
    shape = ClassicConfig if record.get("architecture") == CLASSIC else ModelConfig
    try:
        return shape(
            **{key: value for key, value in record.items() if (key, value) != ("architecture", CLASSIC)}
        )
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(shape))
        raise ArtifactError(
            f"{artifact} has a model.json this code cannot read ({error}); it knows: {known}"
        ) from error


def read_checkpoint(artifact: Artifact) -> tuple[ModelShape, dict[str, Tensor]]:
    """The model's shape and its weights, on the CPU.

    Raises:
        ArtifactError: as `read_shape`, or a file that is no safetensors file.
    """
    config = read_shape(artifact)
    try:
        return config, load_file(artifact.file("model.safetensors"), device="cpu")
    except SafetensorError as error:
        raise ArtifactError(f"the weights of {artifact} cannot be read: {error}. Train it again.") from error
