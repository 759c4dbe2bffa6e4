"""A mutant told as the change it makes to a correct solution: only the mistake is in its file.

    BASE = "training_plain_script"                  # an alternative of the same stage
    CHANGES = (("return digest", "return name"),)   # texts, each found there exactly once, and what takes their place

A mistake that the reference's own parts cannot be bent to (a line of a loop) is shown so, without the loop around it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import ContractError
from tests.harness.workspace import Workspace


def base_file(workspace: Workspace, stage: str, said: Mapping[str, Any]) -> Path | None:
    """The alternative that a mutant with these constants changes, None when it stands on its own."""
    return (
        workspace.root / "tests" / "alternatives" / stage / f"{said['BASE']}.py" if "BASE" in said else None
    )


def changed(base: Path, mutant: Path, changes: Any) -> str:
    """The code of a mutant.

    Raises:
        ContractError: no such base, nothing to change in it, or a text that it does not hold exactly once.
    """
    if not base.is_file():
        raise ContractError(f"{mutant}: BASE names no alternative; wanted the file {base}")
    if not isinstance(changes, tuple) or not changes or not all(_is_change(change) for change in changes):
        raise ContractError(f"{mutant}: beside BASE a mutant says CHANGES = ((old text, new text), ...)")
    text = base.read_text(encoding="utf-8")
    for old, new in changes:
        if text.count(old) != 1:
            raise ContractError(f"{mutant}: {base.name} holds {old!r} {text.count(old)} times; wanted once")
        text = text.replace(old, new)
    return text


def _is_change(change: Any) -> bool:
    texts = isinstance(change, tuple) and len(change) == 2 and all(isinstance(text, str) for text in change)
    return texts and change[0] != change[1]
