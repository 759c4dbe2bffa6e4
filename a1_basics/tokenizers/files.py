"""Read a vocabulary and merges in GPT-2's file format: JSON and text that spell bytes visibly.

The byte alphabet itself (a space is `Ġ`, a line feed `Ċ`) is that of the Tokenizer artifact.
"""

import json
import os
from pathlib import Path

from shared.errors import DataError
from shared.store.kinds.tokenizer import token_from_text


def read_vocab(path: str | os.PathLike[str]) -> dict[int, bytes]:
    """Read `{token: id}` (GPT-2's `encoder.json`) or a list of tokens by id (an artifact's `vocab.json`).

    Raises:
        DataError: the file is missing, or is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the vocabulary {path}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"the vocabulary {path} is not JSON: {error}. Is it the merges file?") from error
    items = enumerate(content) if isinstance(content, list) else ((i, t) for t, i in dict(content).items())
    vocab = {}
    for token_id, token in items:
        if not isinstance(token, str) or not isinstance(token_id, int):
            raise DataError(
                f"the vocabulary {path} holds {token!r}: {token_id!r}; wanted a JSON object of token strings "
                "to integer ids, or a list of token strings in order of id."
            )
        vocab[token_id] = token_from_text(token)
    return vocab


def read_merges(path: str | os.PathLike[str]) -> list[tuple[bytes, bytes]]:
    """Read one merge a line, the two parts apart by a space; only the first line may be a `#version` header.

    Raises:
        DataError: the file is missing, or a line has not two parts.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"cannot read the merges {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the merges {path} are not UTF-8 (offset {error.start}).") from error
    merges = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise DataError(f"line {number} of {path} has {len(parts)} parts: {line!r}; a merge has two.")
        merges.append((token_from_text(parts[0]), token_from_text(parts[1])))
    return merges
