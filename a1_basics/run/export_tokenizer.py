"""Write a Tokenizer as `tokenizer.json`, which Hugging Face `tokenizers` and transformers load as it is."""

import sys

from a1_basics.configs import EXPORT_TOKENIZER, ExportTokenizer
from shared.errors import ConfigError
from shared.interchange.tokenizer_json import write_tokenizer_json
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.disk import write_json
from shared.store.kinds import read_tokenizer

INPUTS = {"tokenizer": "Tokenizer"}
OUTPUTS: dict[str, str] = {}  # files for other programs, outside the store


def main(config: ExportTokenizer) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into the folder `config.out`."""
    store = Store(config.store)
    artifact = store.open(config.tokenizer, "Tokenizer")
    files = read_tokenizer(artifact)
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"--out={config.out} is a file; wanted a folder for tokenizer.json")
    config.out.mkdir(parents=True, exist_ok=True)
    write_tokenizer_json(config.out / "tokenizer.json", files)
    roles = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": files.end_of_text}
    write_json(config.out / "tokenizer_config.json", roles | {"clean_up_tokenization_spaces": False})
    print(f"{artifact}: {len(files.vocab):,} tokens in {config.out / 'tokenizer.json'}")


if __name__ == "__main__":
    sys.exit(run_program(main, EXPORT_TOKENIZER, inputs=INPUTS, outputs=OUTPUTS))
