"""Write a checkpoint and its tokenizer as a Hugging Face directory, which transformers and its kin load as it is.

The directory lies outside the store: it is for other programs. The header of its weights says what it was made from.
"""

import sys

from a1_basics.configs import EXPORT_HF, ExportHF
from shared.errors import ConfigError
from shared.interchange.folder import new_folder
from shared.interchange.huggingface import DTYPES, write_model
from shared.interchange.tokenizer_files import write_tokenizer_files
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, read_checkpoint, read_tokenizer

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS: dict[str, str] = {}


def main(config: ExportHF) -> None:
    """Write `config.out`."""
    check(config)
    store = Store(config.store)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    tokenizer = store.open(checkpoint.parents["tokenizer"], "Tokenizer")
    files = read_tokenizer(tokenizer)
    end_token = next(index for index, token in files.vocab.items() if token == DOCUMENT_END.encode())
    shape, weights = read_checkpoint(checkpoint)
    with new_folder(config.out) as folder:
        write_model(
            folder,
            shape,
            weights,
            # Beside a Qwen2, transformers 5 reads every tokenizer with Qwen2's own split pattern. A tokenizer that cuts
            # otherwise would silently get other ids, so its model is written as a Llama with biases.
            family="llama" if shape.qkv_bias and not shape.qk_norm else None,
            dtype=None if config.dtype == "stored" else DTYPES[config.dtype],
            end_token=end_token,
            max_shard_bytes=config.max_shard_bytes,
            metadata={"checkpoint": checkpoint.digest, "tokenizer": tokenizer.digest},
        )
        write_tokenizer_files(folder, files, shape.context_length)
    print(f"{checkpoint} is now {config.out}; load it with")
    print(f"  AutoModelForCausalLM.from_pretrained({str(config.out)!r})")
    print(f"  AutoTokenizer.from_pretrained({str(config.out)!r})")


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
