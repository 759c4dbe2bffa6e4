"""Fetch a public data set of the catalog: verified files under `data/`, and a Corpus where it is text.

    make data                        what there is: size, licence, what is here already
    make data DATASET=tinystories    fetch it; the same command goes on after a cut or a kill, and does nothing twice

A file's SHA-256 comes from the catalog, else from the Hub's listing, else it is pinned at the first fetch; a file that
lies there and does not fit is never replaced. One fetched by other means, put where the message says, counts as fetched
once its digest fits; so does one in the folder that LM_TEST_DATA names.
"""

import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.corpora import make
from shared.corpora.catalog import Dataset, Source, catalog, dataset
from shared.corpora.download import Download, Refused, Unreachable, one_at_a_time, require_free
from shared.corpora.make import LeftOut, split_text
from shared.corpora.pins import Pins
from shared.corpora.records import read_documents
from shared.corpora.sources import RemoteFile, files_put_by_hand, pattern_of, remote_files
from shared.corpora.unpack import unpack
from shared.errors import ConfigError, DataError
from shared.runs.program import run_program
from shared.runs.steps import already_made, step_key
from shared.store.artifacts import Store
from shared.store.disk import readable_bytes, sha256_of, sync_file
from shared.store.kinds import read_corpus, write_corpus

INPUTS: dict[str, str] = {}
OUTPUTS = {"corpus": "Corpus"}
SLOW_BYTES_PER_SECOND = 10e6  # of a network; only for --dry-run
LEFTOVERS = (".part", ".part.json", ".copy", ".tmp")


@dataclass(frozen=True)
class FetchDataset:
    """A data set of the catalog, to be fetched."""

    dataset: str = ""  # its name in the catalog; empty: list them all
    name: str = ""  # the Corpus's name; empty: the data set's
    files: int = 0  # of a list of paths (Common Crawl): how many of them; 0: as many as the catalog says
    stand_in: bool = False  # without a network, take the catalog's other text under the same name, and say so
    data: Path = Path("data")  # where the files lie
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": FetchDataset()}


def main(config: FetchDataset) -> int:
    """Fetch `config.dataset`, and publish it when it becomes a Corpus."""
    if not config.dataset:
        list_datasets(config.data)
        return 0
    row = dataset(config.dataset)
    if config.files and not any(source.paths for source in row.files):
        raise ConfigError(f"data set '{row.name}' is no list of paths: it has no --files to choose")
    folder = config.data / row.name
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / ".lock", f"data set '{row.name}'"):
        try:
            files = fetch(row, folder, config.files)
        except DataError as error:
            if not (config.stand_in and row.stand_in and isinstance(error.__cause__, Unreachable)):
                raise
            print(
                f"{error.__cause__}\n{row.name}: other text stands in for it, under the same name", flush=True
            )
            return make_stand_in(row, config)
        if row.becomes == "Corpus":
            publish(row, folder, files, Store(config.store), config.name or row.name)
            return 0
    print(f"{row.name}: {len(files)} files under {folder}, verified. {row.licence}. Splits: {row.splits}")
    return 0


def make_stand_in(row: Dataset, config: FetchDataset) -> int:
    """Publish the text that stands in for a data set; the exit status of the program that makes it."""
    flags = row.stand_in.removeprefix(f"python -m {make.__name__} ").split()
    flags += ["--name", config.name or row.name, "--store", str(config.store)]
    return run_program(make.main, make.PRESETS, argv=flags)


def plan(config: FetchDataset) -> dict[str, Any]:
    """What the data set will cost, as far as its publishers say."""
    if not config.dataset:
        return {"data_sets": len(catalog())}
    row = dataset(config.dataset)
    text = {"corpus_bytes": row.text_bytes} if row.becomes == "Corpus" else {}
    return {
        "download_bytes": row.size_bytes,
        **text,
        "expected_seconds": row.size_bytes / SLOW_BYTES_PER_SECOND,
        "licence": row.licence,
        "splits": row.splits,
    }


def list_datasets(data: Path) -> None:
    """Print the catalog."""
    for row in catalog().values():
        here = Pins(data / row.name).num_fetched()
        state = f"{here} files here" if here else readable_bytes(row.size_bytes)
        print(f"{row.name:18} {state:>13}  {row.becomes:6}  {row.title}\n{'':42}{row.licence}")
    print("\nfetch one: make data DATASET=name   (more about each: shared/corpora/catalog.toml)")


def fetch(row: Dataset, folder: Path, at_most: int = 0) -> list[RemoteFile]:
    """Bring every file of a data set to `folder`, each with its SHA-256 known afterwards.

    Raises:
        DataError: no connection, a refusal, or a file that is not what it should be; says what to do by hand.
    """
    pins = Pins(folder)
    try:
        files = pins.listing(row, at_most) or pins.pin_listing(row, at_most, remote_files(row, at_most))
    except (Unreachable, Refused) as error:
        files = files_put_by_hand(row, folder)
        if not files:
            raise DataError(f"{error}\n{_by_hand(row, folder, [])}") from error
        print(
            f"{error}\ntaken as they lie, since nobody says which others there are: {len(files)} files in {folder}"
        )
    missing = [file for file in files if not pins.is_good(file) and not _taken(file, folder, pins)]
    known = sum(file.bytes for file in missing) or (row.size_bytes if missing == files else 0)
    require_free(folder, known, f"data set '{row.name}'")
    for number, file in enumerate(missing, 1):
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        label = f"fetching {file.name} ({number} of {len(missing)})"
        try:
            Download(file.url, target, file.bytes, pins.sha256(file), label).run()
        except (Unreachable, Refused) as error:
            raise DataError(f"{error}\n{_by_hand(row, folder, missing[number - 1 :])}") from error
        pins.pin(file)
    for file in files:
        place = unpacked_folder(folder, file)
        if file.unpack and not place.exists():
            require_free(folder, file.about_unpacked_bytes, f"unpacking {file.name}")
            unpack(folder / file.name, file.unpack, place, 2 * file.about_unpacked_bytes)
    for leftover in folder.rglob("*"):  # all is here: what processes left that were killed is of no use
        if leftover.name.endswith(LEFTOVERS) and leftover.is_file():
            leftover.unlink()
    return [dataclasses.replace(file, sha256=pins.sha256(file)) for file in files]


def unpacked_folder(folder: Path, file: RemoteFile) -> Path:
    """Where the members of an archive lie."""
    return folder / f"{file.name}.unpacked"


def publish(row: Dataset, folder: Path, files: list[RemoteFile], store: Store, name: str) -> None:
    """Make the fetched files a Corpus; what it records are their digests, not where they lay."""
    digests = {file.name: file.sha256 for file in files}
    recorded = {"dataset": row.name, "licence": row.licence, "citation": row.citation, "page": row.page}
    recorded |= {"splits": row.splits, "sha256": digests}
    rule = {"field": row.field, "document_start": row.document_start, "val_every": row.val_every}
    parted = {file.name: file.split for file in files}
    key = step_key("shared.corpora.fetch", FetchDataset(), {"rule": str(rule | recorded | parted)}, ())
    if already_made(store, key, name):
        return
    left_out = LeftOut()
    with store.draft("Corpus", config=recorded | rule, parents={}, name=name, key=key) as draft:
        draft.require_free(max(row.text_bytes, sum((folder / file.name).stat().st_size for file in files)))
        write_corpus(draft, _splits(row, folder, files, left_out))
    corpus = read_corpus(draft.artifact)
    print(draft.artifact)
    for split in corpus.splits:
        print(f"  {split}: {corpus.num_documents(split):,} documents, {corpus.num_bytes(split):,} bytes")
    left_out.report()
    print(f"  {row.licence}. {row.citation}")


def _splits(row: Dataset, folder: Path, files: list[RemoteFile], left_out: LeftOut) -> dict[str, Any]:
    def read(split: str) -> Iterator[str]:
        paths = [folder / file.name for file in files if file.split == split]
        return read_documents(paths, row.field or "text", row.document_start, left_out)

    names = list(dict.fromkeys(file.split for file in files))
    if names == [""]:
        return split_text(lambda: read(""), **({"val_every": row.val_every} if row.val_every else {}))
    return {split: read(split) for split in names}


def _taken(file: RemoteFile, folder: Path, pins: Pins) -> bool:
    """Whether a file that came by other means is the one wanted: in its place, or in the folder of LM_TEST_DATA."""
    target, wanted = folder / file.name, pins.sha256(file)
    if target.exists():
        found = sha256_of(target)
        if (wanted and found != wanted) or (file.bytes and target.stat().st_size != file.bytes):
            raise DataError(
                f"{target} is not what it should be: its SHA-256 is {found} ({target.stat().st_size:,} bytes), wanted "
                f"{wanted or 'unknown'} ({file.bytes:,} bytes). It is left as it is: move it away, and run this again"
            )
        pins.pin(file, found)
        return True
    elsewhere = os.environ.get("LM_TEST_DATA", "")
    found = Path(elsewhere) / folder.name / Path(file.name).name
    if not (elsewhere and wanted and found.is_file() and sha256_of(found) == wanted):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    coming = target.with_name(target.name + ".copy")
    shutil.copyfile(found, coming)
    sync_file(coming)
    os.rename(coming, target)
    pins.pin(file)
    print(f"{file.name}: taken from the folder of LM_TEST_DATA, its SHA-256 fits")
    return True


def _by_hand(row: Dataset, folder: Path, files: list[RemoteFile]) -> str:
    """What to do when the network, or the publisher, does not give a file."""
    lines = []
    if row.gated:
        lines.append(f"Its publishers want a login: accept their terms at {row.page}, then go on as below.")
    lines.append(
        "Run this again with a network, or fetch by other means and put in place, then run this again:"
    )
    if files:
        lines += [f"  {file.url}\n    -> {folder / file.name}  ({_known(file)})" for file in files[:10]]
        lines += [f"  ... and {len(files) - 10} more"] * (len(files) > 10)
    else:
        lines += [f"  {_where(row, source)}\n    -> {folder / pattern_of(source)}" for source in row.files]
    if row.stand_in:
        lines.append(f"To go on without it, other text under the same name: {row.stand_in}")
    local = Path(os.environ.get("LM_TEST_DATA", "")) / row.name
    if row.becomes == "Corpus" and os.environ.get("LM_TEST_DATA") and local.is_dir():
        lines.append(
            f"  or an excerpt: python -m shared.corpora.make --kind text --path {local} --name {row.name}"
        )
    return "\n".join(lines)


def _where(row: Dataset, source: Source) -> str:
    return source.url or (f"{source.pattern} of {row.page}" if source.hub else f"files of {source.paths}")


def _known(file: RemoteFile) -> str:
    size = f"{file.bytes:,} bytes" if file.bytes else "size unknown"
    return f"{size}, SHA-256 {file.sha256 or 'unknown: pinned once it is here'}"


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
