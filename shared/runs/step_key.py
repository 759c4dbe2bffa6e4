"""The key of a step: equal keys mean that running it again would make the same thing, so it can be skipped.

A step is a program with its config, the artifacts it reads and the sources it runs. Where it writes
(`store`, `runs`), what the result is called (`name`) and what an hour costs (`prices`) do not change what is
made, so they stay out.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.runs.config import to_dict

PLACES = ("store", "runs", "name", "prices")


def step_key(program: str, config: Any, inputs: Mapping[str, str], sources: Iterable[str]) -> str:
    """A hash of everything that decides the outcome: program, config, digests of the inputs, and the source
    text.

    `sources` are dotted package names (or paths of a package or file); `shared` is always among them. When
    another implementation than the reference does the work, its package belongs in the list.
    """
    values = {key: value for key, value in to_dict(config).items() if key not in PLACES}
    facts = {
        "program": program,
        "config": values,
        "inputs": dict(inputs),
        "sources": {name: source_digest(name) for name in sorted({"shared", *sources})},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def source_digest(package: str) -> str:
    """Hash of the path and content of every `.py` file under a package, in sorted order.

    Raises:
        ConfigError: there is no such package or path.
    """
    root = _root(package)
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        relative = file.name if root.is_file() else file.relative_to(root).as_posix()
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{relative}\0{content}\n".encode())
    return digest.hexdigest()


def _root(package: str) -> Path:
    if Path(package).exists() and ("/" in package or package.endswith(".py")):
        return Path(package)
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None:
        raise ConfigError(f"no package {package!r} to hash the sources of; wanted a dotted name or a path")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(str(spec.origin))
