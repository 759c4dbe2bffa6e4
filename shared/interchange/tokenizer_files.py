"""A tokenizer as the two files that Hugging Face's `AutoTokenizer` looks for beside a model.

`tokenizer.json` holds the tokenizer itself: vocabulary and merges in the byte alphabet, the pattern that cuts text, and
the special tokens. `tokenizer_config.json` names the roles of the special tokens. The end-of-text token plays all three:
it begins a document, ends it, and pads; transformers adds it nowhere by itself, so ids there are ids here.
"""

from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.interchange.weight_files import read_json_object
from shared.store.disk import write_json
from shared.store.kinds import DOCUMENT_END, TokenizerFiles
from shared.store.kinds.tokenizer import bytes_to_text, text_to_bytes

TOKENIZER_FILES = ("tokenizer.json",)  # what a tokenizer is read from
GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
SPLIT = {"type": "Split", "pattern": {"Regex": GPT2_PATTERN}, "behavior": "Isolated", "invert": False}
PRE_TOKENIZER = {"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]}


def write_tokenizer_files(folder: Path, files: TokenizerFiles, context_length: int) -> None:
    """Write both files."""
    specials = {token.encode("utf-8"): token for token in files.special_tokens}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [
        {"id": index, "content": specials[token], **plain}
        for index, token in sorted(files.vocab.items())
        if token in specials
    ]
    record = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {
                specials.get(token) or bytes_to_text(token): index
                for index, token in sorted(files.vocab.items())
            },
            "merges": [[bytes_to_text(left), bytes_to_text(right)] for left, right in files.merges],
        },
    }
    write_json(folder / "tokenizer.json", record)
    write_json(folder / "tokenizer_config.json", tokenizer_config(DOCUMENT_END, context_length))


def tokenizer_config(end_of_text: str, context_length: int) -> dict[str, Any]:
    """The roles of the special tokens, and what transformers would otherwise guess."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end_of_text,
        "eos_token": end_of_text,
        "pad_token": end_of_text,
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
    }


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """The tokenizer of a directory.

    Raises:
        DataError: no `tokenizer.json`, or one that does more than byte-pair encoding by GPT-2's pattern.
    """
    record = read_json_object(folder / "tokenizer.json")
    model = record.get("model") or {}
    if model.get("type") != "BPE" or record.get("pre_tokenizer") != PRE_TOKENIZER or record.get("normalizer"):
        raise DataError(f"{folder / 'tokenizer.json'} is no byte-level BPE with GPT-2's pattern")
    specials = {entry["id"]: entry["content"] for entry in record["added_tokens"]}
    vocab = {
        index: specials[index].encode() if index in specials else text_to_bytes(token)
        for token, index in model["vocab"].items()
    }
    merges = [(text_to_bytes(left), text_to_bytes(right)) for left, right in model["merges"]]
    return TokenizerFiles(vocab, merges, list(specials.values()), None)
