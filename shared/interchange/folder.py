"""A folder that appears whole or not at all, outside the store."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shared.store.disk import make_directory, remove_tree, sync_directory


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A sibling to write into, renamed to `path` when the block ends, removed when it raises.

    What a killed process left of an earlier try is removed first. `path` may exist only as an empty folder.
    """
    make_directory(path.absolute().parent)
    unfinished = path.absolute().parent / f".{path.name}.unfinished"
    remove_tree(unfinished)
    unfinished.mkdir()
    try:
        yield unfinished
        sync_directory(unfinished)
        unfinished.rename(path)
        sync_directory(path.absolute().parent)
    finally:
        remove_tree(unfinished)
