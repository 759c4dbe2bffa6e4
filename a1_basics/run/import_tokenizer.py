"""Make a Tokenizer of a published one: a `tokenizer.json` (GPT-2, Llama 3, Qwen2, Qwen3), or GPT-2's own two files."""

import dataclasses
import hashlib
import sys
from pathlib import Path

from a1_basics.configs import IMPORT_TOKENIZER, ImportTokenizer
from shared.doors.resolve import door
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ConfigError
from shared.interchange.tokenizer_json import read_gpt2_files, read_tokenizer_json
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import TokenizerFiles, write_tokenizer

INPUTS: dict[str, str] = {}
OUTPUTS = {"tokenizer": "Tokenizer"}

GPT2_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
SAMPLE = "The year 2048, they're said to say: naïve 한국어 😀\n\treturn x  # 3.14"


def main(config: ImportTokenizer) -> None:
    """Publish the Tokenizer `config.name`."""
    store = Store(config.store)
    sources = source_files(config.path)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    # What the files say decides what is made, not where they lay.
    described = dataclasses.replace(config, path=Path(config.path.name))
    key = step_key("a1_basics.run.import_tokenizer", described, digests, ())
    if already_made(store, key, config.name):
        return
    files = read(sources, config.end_of_text)
    with store.draft(
        "Tokenizer", config=recorded(described) | {"sha256": digests}, parents={}, name=config.name, key=key
    ) as draft:
        write_tokenizer(draft, files)
    special = [token.content for token in files.added_tokens]
    print(
        f"{draft.artifact}: {len(files.vocab):,} tokens, {len(files.merges):,} merges, split pattern {files.pattern}, "
        f"normalization {files.normalizer or 'none'}, {len(special)} added tokens, documents end with "
        f"{files.end_of_text}"
    )
    tokenizer = open_tokenizer(door("a1_basics"), files)
    ids = tokenizer.encode(SAMPLE)
    print(" | ".join(tokenizer.decode([index]) for index in ids).replace("\n", "↵").replace("\t", "⇥"))


def source_files(path: Path) -> list[Path]:
    """The file or files that hold the tokenizer.

    Raises:
        ConfigError: nothing is there that this program reads.
    """
    if path.is_file():
        return [path]
    for names in (("tokenizer.json",), *GPT2_FILES):
        found = [path / name for name in names]
        if all(file.is_file() for file in found):
            return found
    wanted = ", ".join(["tokenizer.json", *(" with ".join(names) for names in GPT2_FILES)])
    raise ConfigError(
        f"--path={path} is no file and no folder with a tokenizer in it; wanted a tokenizer.json, or a folder with "
        f"one of: {wanted}"
    )


def read(sources: list[Path], end_of_text: str) -> TokenizerFiles:
    """The tokenizer in these files."""
    if len(sources) == 1:
        return read_tokenizer_json(sources[0], end_of_text)
    return read_gpt2_files(sources[0], sources[1])


if __name__ == "__main__":
    sys.exit(run_program(main, IMPORT_TOKENIZER, inputs=INPUTS, outputs=OUTPUTS))
