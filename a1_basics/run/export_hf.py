"""Write a checkpoint and its tokenizer as a Hugging Face directory, which transformers and its kin load as it is.

The directory lies outside the store: it is for other programs. The header of its weights says what it was made from.
"""

import sys

from a1_basics.configs import EXPORT_HF, ExportHF
from shared.doors.protocols import ModelConfig, ModelShape
from shared.errors import ConfigError
from shared.interchange.folder import new_folder
from shared.interchange.huggingface import DTYPES, write_model
from shared.interchange.tokenizer_files import write_tokenizer_files
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import TokenizerFiles, read_checkpoint, read_tokenizer

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS: dict[str, str] = {}


def main(config: ExportHF) -> None:
    """Write `config.out`."""
    check(config)
    store = Store(config.store)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    tokenizer = store.open(checkpoint.parents["tokenizer"], "Tokenizer")
    files = read_tokenizer(tokenizer)
    shape, weights = read_checkpoint(checkpoint)
    with new_folder(config.out) as folder:
        write_model(
            folder,
            shape,
            weights,
            family=family(shape, files),
            dtype=None if config.dtype == "stored" else DTYPES[config.dtype],
            end_token=files.end_of_text_id,
            max_shard_bytes=config.max_shard_bytes,
            metadata={"checkpoint": checkpoint.digest, "tokenizer": tokenizer.digest},
        )
        write_tokenizer_files(folder, files, shape.context_length)
    print(f"{checkpoint} is now {config.out}; load it with")
    print(f"  AutoModelForCausalLM.from_pretrained({str(config.out)!r})")
    print(f"  AutoTokenizer.from_pretrained({str(config.out)!r})")


def family(shape: ModelShape, files: TokenizerFiles) -> str | None:
    """Whose model to write it as; None: the one that is known for its options.

    Beside a Qwen2, transformers 5 gives every tokenizer Qwen2's split pattern and normalization. One that cuts
    otherwise would silently get other ids, so its model becomes a Llama with biases, which computes the same.
    """
    has_biases = isinstance(shape, ModelConfig) and shape.qkv_bias and not shape.qk_norm
    is_qwens = (files.pattern, files.normalizer) == ("qwen2", "NFC")
    return "llama" if has_biases and not is_qwens else None


def check(config: ExportHF) -> None:
    """Raises: ConfigError: a setting outside its range, or a place that is taken."""
    if config.dtype not in ("stored", *DTYPES):
        raise ConfigError(f"dtype={config.dtype!r} is not one of: stored, {', '.join(DTYPES)}")
    if config.max_shard_bytes < 1:
        raise ConfigError(f"max_shard_bytes={config.max_shard_bytes} must be at least 1")
    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ConfigError(f"{config.out} is already there; remove it, or export to another place with --out")


if __name__ == "__main__":
    sys.exit(run_program(main, EXPORT_HF, inputs=INPUTS, outputs=OUTPUTS))
