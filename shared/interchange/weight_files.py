"""Weights as safetensors files in a folder: one file, or several shards with an index that says where each tensor is.

Nothing here unpickles. What a folder claims is checked before it is believed: file names stay inside the folder,
and shapes are read from the headers, whose sizes safetensors holds against the file's.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shared.errors import DataError
from shared.store.disk import readable_bytes, sync_file, write_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LARGEST_JSON_BYTES = 256 << 20  # the longest tokenizer.json in use has about 30 MB


def write_weights(
    folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int, metadata: dict[str, str]
) -> list[Path]:
    """Write the tensors in their order, a new file wherever the next one would exceed `max_shard_bytes`.

    A single tensor larger than that gets a file of its own. The files are on the disk when this returns.
    """
    shards: list[dict[str, Tensor]] = [{}]
    num_bytes = 0
    for name, tensor in tensors.items():
        if shards[-1] and num_bytes + tensor.nbytes > max_shard_bytes:
            shards.append({})
            num_bytes = 0
        shards[-1][name] = tensor.contiguous()
        num_bytes += tensor.nbytes
    count = len(shards)
    names = (
        [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)] if count > 1 else [SINGLE]
    )
    for name, shard in zip(names, shards, strict=True):
        file = folder / name
        file.touch()
        mode = file.stat().st_mode  # safetensors would make a file for its owner alone
        save_file(shard, file, metadata={"format": "pt", **metadata})
        file.chmod(mode)
        sync_file(file)
    if count > 1:
        weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        total = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
        write_json(folder / INDEX, {"metadata": total, "weight_map": weight_map})
    return [folder / name for name in names]


class WeightFiles:
    """The tensors of a folder: names and shapes at once, values when they are asked for.

    Raises:
        DataError: no safetensors file, an index that is no index or leads out of the folder, a missing shard, a
            file that is damaged or cut short.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = self._weight_map()
        self.files = [folder / name for name in sorted(set(index.values())) or [SINGLE]]
        self._opened = {file.name: self._open(file) for file in self.files}
        self.file_of = index or dict.fromkeys(self._opened[SINGLE].keys(), SINGLE)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for tensor, file in self.file_of.items():
            try:
                self.shapes[tensor] = tuple(self._opened[file].get_slice(tensor).get_shape())
            except SafetensorError as error:
                raise DataError(
                    f"{folder / INDEX} looks for the tensor {tensor!r} in {file}, which does not hold it. "
                    "Shards of two checkpoints lie in one folder, or one is an old copy: copy them all again."
                ) from error

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def read(self, name: str) -> Tensor:
        """The values of a tensor, in the type in which they are stored."""
        return self._opened[self.file_of[name]].get_tensor(name)

    def _weight_map(self) -> dict[str, str]:
        """The index, checked; empty where all tensors lie in one file, which wins as it does for Hugging Face."""
        if (self.folder / SINGLE).is_file():
            return {}
        if not (self.folder / INDEX).is_file():
            raise self._no_weights()
        weight_map = read_json_object(self.folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise DataError(f"{self.folder / INDEX} has no object `weight_map` of tensor names to files")
        for tensor, file in weight_map.items():
            # A name and no path: the index came from elsewhere, and must not reach other files. That the entry itself
            # may be a symbolic link is meant: the Hugging Face cache keeps its files so.
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
                raise DataError(
                    f"{self.folder / INDEX} puts {tensor!r} into {file!r}; wanted the name of a .safetensors "
                    "file in the same folder"
                )
            if not (self.folder / file).is_file():
                raise DataError(f"{self.folder} lacks {file}, where its index puts {tensor!r}: copy it there")
        return weight_map

    def _open(self, file: Path) -> Any:
        try:
            return safe_open(file, framework="pt")
        except SafetensorError as error:
            size = readable_bytes(file.stat().st_size)
            raise DataError(
                f"{file} ({size}) is damaged or cut short: {error}. Copy or download it again."
            ) from error

    def _no_weights(self) -> DataError:
        if not self.folder.is_dir():
            return DataError(f"{self.folder} is no folder; wanted one with config.json and {SINGLE}")
        pickled = sorted(path.name for path in self.folder.iterdir() if path.suffix in PICKLED)
        if pickled:
            return DataError(
                f"{self.folder} holds its weights as {pickled[0]}, a pickle, which may run code when it is "
                "read. Only safetensors are read here: fetch the checkpoint in that format, or convert it "
                "where you trust it (`model.save_pretrained(folder)` of transformers writes safetensors)."
            )
        return DataError(f"{self.folder} has neither {SINGLE} nor {INDEX}: no weights to read")


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file that came from elsewhere.

    Raises:
        DataError: missing, too large to be meant, not JSON, or no object.
    """
    try:
        num_bytes = path.stat().st_size
        if num_bytes > LARGEST_JSON_BYTES:
            raise DataError(f"{path} has {readable_bytes(num_bytes)}; that is no file of settings")
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} holds {type(record).__name__}, wanted a JSON object")
    return record
