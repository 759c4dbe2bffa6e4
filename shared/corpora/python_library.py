"""The standard library of the running Python as real text: prose in docstrings and comments, and code.

Every machine that can run this workspace has it, without a download: some 10 MB by hundreds of authors. The order
is that of the paths, so the corpus is the same wherever the Python version is the same.
"""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from shared.corpora.text import Drop
from shared.store.kinds import DOCUMENT_END

# Folders that hold no reading matter, and why.
_SKIPPED_FOLDERS = {
    "site-packages": "installed packages differ between machines",
    "dist-packages": "installed packages differ between machines",
    "__pycache__": "compiled",
    "test": "tests",
    "tests": "tests",
    "idle_test": "tests",
    "lib2to3": "left out of newer Python versions",
    "encodings": "tables of characters",
    "_bundled": "bundled packages",
}
# Written when Python is built or installed: they name the machine.
_SKIPPED_PREFIXES = ("_sysconfigdata", "_sysconfig_vars", "sitecustomize", "usercustomize")


def python_library(drop: Drop | None = None) -> Iterator[str]:
    """The modules of the standard library as documents, in the order of their paths.

    Left out, and told to `drop`: tests, installed packages, character tables, files about this machine, empty files and
    those that are not UTF-8.
    """
    drop = drop or (lambda reason, what: None)
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        name = file.relative_to(root).as_posix()
        reason = next((_SKIPPED_FOLDERS[f] for f in name.split("/")[:-1] if f in _SKIPPED_FOLDERS), None)
        if reason is None and (
            file.name.startswith(_SKIPPED_PREFIXES) or name.startswith(("config-", "lib-dynload"))
        ):
            reason = "about this machine"
        if reason is not None:
            drop(reason, name)
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            drop("not UTF-8", name)
            continue
        if not text.strip():
            drop("blank document", name)
        elif DOCUMENT_END in text:
            drop("holds the end-of-text marker", name)
        else:
            yield text


def python_version() -> str:
    """The version that names the text: "3.11.7"."""
    return ".".join(str(part) for part in sys.version_info[:3])
