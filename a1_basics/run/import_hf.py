"""Read a Hugging Face directory (Llama, Qwen2, Qwen3 or GPT-2; safetensors) into a Checkpoint and a Tokenizer.

Nothing is downloaded and nothing is unpickled. What this workspace's transformer does not compute (RoPE scaling,
sliding windows, other activations) is refused by name.
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

from a1_basics.configs import IMPORT_HF, ImportHF
from shared.doors.protocols import ClassicConfig, ModelShape
from shared.errors import ConfigError, DataError
from shared.interchange.huggingface import read_model, read_shape
from shared.interchange.tokenizer_files import read_tokenizer_files, tokenizer_sources
from shared.interchange.weight_files import WeightFiles
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.disk import sha256_of
from shared.store.kinds import read_tokenizer, write_checkpoint, write_tokenizer

INPUTS: dict[str, str] = {}
OUTPUTS = {"checkpoint": "Checkpoint", "tokenizer": "Tokenizer"}


def main(config: ImportHF) -> None:
    """Publish the Checkpoint and Tokenizer `config.name`."""
    source, shape = config.source, shape_of(config)
    files = WeightFiles(source)
    store = Store(config.store)
    tokenizer = store.open(config.tokenizer, "Tokenizer") if config.tokenizer else imported(config, store)
    num_tokens = len(read_tokenizer(tokenizer).vocab)
    if num_tokens > shape.vocab_size:
        raise DataError(
            f"{tokenizer} has {num_tokens:,} tokens, and the model in {source} knows {shape.vocab_size:,}: "
            "they do not belong together"
        )
    with progress(2 * files.num_bytes, f"import {config.name}", "bytes") as bar:
        digests = {}
        for file in (source / "config.json", *files.files):
            digests[file.name] = sha256_of(file)
            bar.advance(file.stat().st_size)
        inputs = {"tokenizer": tokenizer.digest, **digests}
        # Not the path: the same content from elsewhere is the same import.
        config = dataclasses.replace(config, source=Path(), tokenizer=tokenizer.digest)
        key = step_key("a1_basics.run.import_hf", config, inputs, [])
        if already_made(store, key, config.name):
            return
        parents = {"tokenizer": tokenizer.digest}
        told = recorded(config) | {"files": digests}
        with store.draft("Checkpoint", config=told, parents=parents, name=config.name, key=key) as draft:
            _, weights = read_model(source, bar.advance)
            write_checkpoint(draft, shape, weights)
    num_parameters = sum(tensor.numel() for tensor in weights.values())
    print(f"{draft.artifact}: {num_parameters:,} parameters, {num_tokens:,} tokens")


def imported(config: ImportHF, store: Store) -> Artifact:
    """The directory's own tokenizer, published as `config.name`."""
    files = read_tokenizer_files(config.source)
    told = {"files": {path.name: sha256_of(path) for path in tokenizer_sources(config.source)}}
    with store.draft("Tokenizer", config=told, parents={}, name=config.name) as draft:
        write_tokenizer(draft, files)
    return draft.artifact


def shape_of(config: ImportHF) -> ModelShape:
    """The model's shape, with the context that was asked for.

    Raises:
        ConfigError: a longer context than the model was trained for.
    """
    shape = read_shape(config.source)
    if config.context_length is None:
        return shape
    if not 0 < config.context_length <= shape.context_length:
        raise ConfigError(
            f"context_length={config.context_length} must lie between 1 and the {shape.context_length} positions "
            f"that the model in {config.source} was trained for"
        )
    if isinstance(shape, ClassicConfig):
        raise ConfigError(
            "a GPT-2 learned a vector for each position: import it with all, without --context-length"
        )
    return dataclasses.replace(shape, context_length=config.context_length)


def plan(config: ImportHF) -> dict[str, Any]:
    """What would be imported."""
    shape, files = shape_of(config), WeightFiles(config.source)
    return {
        "architecture": "GPT-2" if isinstance(shape, ClassicConfig) else "transformer",
        "stored_numbers": sum(math.prod(size) for size in files.shapes.values()),
        "weight_files": len(files.files),
        "checkpoint_bytes": files.num_bytes,
    }


if __name__ == "__main__":
    sys.exit(run_program(main, IMPORT_HF, inputs=INPUTS, outputs=OUTPUTS))
