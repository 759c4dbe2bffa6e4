"""A tokenizer as the files that Hugging Face's `AutoTokenizer` looks for beside a model.

`tokenizer.json` holds the tokenizer itself; `tokenizer_config.json` names the roles of its special tokens. Our
end-of-text token plays three: it begins a document, ends it, and pads. transformers adds none of them by itself, so ids
there are ids here; only a tokenizer that came with a token to begin with (Llama 3) leaves with it, and is asked there
for ids without it by `add_special_tokens=False`.
"""

from pathlib import Path

from shared.errors import DataError
from shared.interchange.tokenizer_json import (
    END_OF_TEXT_NAMES,
    read_gpt2_files,
    read_tokenizer_json,
    write_tokenizer_json,
)
from shared.interchange.weight_files import read_json_object
from shared.store.disk import write_json
from shared.store.kinds import TokenizerFiles


def write_tokenizer_files(folder: Path, files: TokenizerFiles, context_length: int) -> None:
    """Write both files.

    Raises:
        DataError: a tokenizer that `tokenizer.json` cannot describe.
    """
    write_tokenizer_json(folder / "tokenizer.json", files)
    roles = {f"{role}_token": files.end_of_text for role in ("bos", "eos", "pad")}
    if files.leading_tokens:
        roles["bos_token"] = files.leading_tokens[0]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context_length}
    write_json(folder / "tokenizer_config.json", settings | roles | {"clean_up_tokenization_spaces": False})


def tokenizer_sources(folder: Path) -> list[Path]:
    """The files of a directory that its tokenizer is made from: `tokenizer.json`, or a GPT-2's own two.

    Beside other models, vocabulary and merges alone do not say how text is split: they are not enough.

    Raises:
        DataError: none of these.
    """
    choices = [[folder / "tokenizer.json"], [folder / "vocab.json", folder / "merges.txt"]]
    is_gpt2 = read_json_object(folder / "config.json").get("model_type") == "gpt2"
    for paths in choices if is_gpt2 else choices[:1]:
        if all(path.is_file() for path in paths):
            return paths
    raise DataError(
        f"{folder} has no tokenizer.json. Put the one of this model there, or name a tokenizer of the store: "
        "--tokenizer=NAME"
    )


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """The tokenizer of a directory.

    Where no added token has one of the names that usually close a document, `eos_token` of `tokenizer_config.json` says
    which does. It is not asked first: a chat model's `eos_token` ends a turn, not a document.

    Raises:
        DataError: no tokenizer, or one that is not supported, by the name of the part.
    """
    sources = tokenizer_sources(folder)
    if len(sources) == 2:
        return read_gpt2_files(*sources)
    content = read_json_object(sources[0])
    names = {entry.get("content") for entry in content.get("added_tokens") or () if isinstance(entry, dict)}
    closing, settings = "", folder / "tokenizer_config.json"
    if settings.is_file() and not names & set(END_OF_TEXT_NAMES):
        token = read_json_object(settings).get("eos_token")
        closing = token.get("content", "") if isinstance(token, dict) else token or ""
    return read_tokenizer_json(sources[0], closing)
