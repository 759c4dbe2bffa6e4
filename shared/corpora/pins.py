"""What is known of a data set's files since they were first fetched: `pins.json` beside them.

It holds which files a listing named, and of each file its SHA-256 and length, so that a publisher's change is noticed
instead of taken in. A file whose length and time have not changed since is not read again to be verified.
"""

import datetime
import json
from pathlib import Path
from typing import Any

from shared.corpora.catalog import Dataset
from shared.corpora.sources import RemoteFile, from_pinned, pinned_form
from shared.errors import DataError
from shared.store.disk import replace_json, sha256_of


class Pins:
    """The pins of one data set, written at every change; its holder holds the data set's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "pins.json"
        try:
            self.values: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.values = {"listings": {}, "files": {}}
        except ValueError as error:
            raise DataError(
                f"{self.path} is damaged ({error}); move it away: files are then verified anew"
            ) from error

    def num_fetched(self) -> int:
        """How many files are here."""
        return sum((self.folder / name).exists() for name in self.values["files"])

    def listing(self, row: Dataset, at_most: int) -> list[RemoteFile] | None:
        """The files that a data set stood for when it was first asked, if it was asked in these words."""
        rows = self.values["listings"].get(_question(row, at_most))
        return None if rows is None else from_pinned(rows)

    def pin_listing(self, row: Dataset, at_most: int, files: list[RemoteFile]) -> list[RemoteFile]:
        """Keep a listing, and return it."""
        self.values["listings"][_question(row, at_most)] = pinned_form(files)
        self._write()
        return files

    def sha256(self, file: RemoteFile) -> str:
        """The digest that a file must have; empty while nobody knows."""
        pin = self.values["files"].get(file.name)
        return file.sha256 or (pin["sha256"] if pin else "")

    def is_good(self, file: RemoteFile) -> bool:
        """Whether the file is here, verified, and unchanged since."""
        pin, path = self.values["files"].get(file.name), self.folder / file.name
        if pin is None or not path.exists() or self.sha256(file) != pin["sha256"]:
            return False
        facts = path.stat()
        return (facts.st_size, facts.st_mtime_ns) == (pin["bytes"], pin["mtime_ns"])

    def pin(self, file: RemoteFile, sha256: str = "") -> None:
        """Note a file that was found good."""
        path = self.folder / file.name
        facts = path.stat()
        self.values["files"][file.name] = {
            "sha256": sha256 or self.sha256(file) or sha256_of(path),
            "bytes": facts.st_size,
            "mtime_ns": facts.st_mtime_ns,
            "url": file.url,
            "first_fetched": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }
        self._write()

    def _write(self) -> None:
        replace_json(self.path, self.values, temporary_in=self.folder)


def _question(row: Dataset, at_most: int) -> str:
    """What was asked: a catalog that says something else by now is asked again."""
    return json.dumps([[vars(source) for source in row.files], at_most], sort_keys=True)
