"""The store from the command line: what there is, where it comes from, what nothing needs, and how it
travels.

REF is a name, a digest or the beginning of one (6 characters or more); `Kind/REF` says of which kind.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.errors import WorkspaceError
from shared.store import manifests
from shared.store.archive import export_archive, import_archive
from shared.store.artifacts import Artifact, Store
from shared.store.catalog import KINDS, kind_of
from shared.store.disk import readable_bytes
from shared.store.gc import collect
from shared.store.lineage import lineage_svg, lineage_tree
from shared.store.lookup import NamesByDigest
from shared.store.manifests import SHOWN_DIGITS


def _open(store: Store, ref: str, *, verify: bool = False) -> Artifact:
    kind, _, rest = ref.rpartition("/")
    return store.open(rest, kind or None, verify=verify)


def _list(store: Store, arguments: argparse.Namespace) -> None:
    if arguments.kind is not None:
        kind_of(arguments.kind)
    names = NamesByDigest(store.root)
    rows = [("KIND", "NAME", "DIGEST", "SIZE", "MADE (UTC)", "COST")]
    for artifact in store.list(arguments.kind):
        made = str(artifact.origin.get("created", ""))[:16].replace("T", " ")
        seconds = artifact.origin.get("cost_seconds")
        cost = "" if seconds is None else f"{seconds:.1f} s"
        shown = artifact.digest[:SHOWN_DIGITS]
        size = readable_bytes(artifact.num_bytes)
        rows.append(
            (
                artifact.kind,
                ", ".join(names.of(artifact.kind, artifact.digest)) or "-",
                shown,
                size,
                made,
                cost,
            )
        )
    if len(rows) == 1:
        print(f"{store.root} holds no {arguments.kind or 'artifact'} yet. `make toy` makes the first ones.")
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in (3, 5) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _show(store: Store, arguments: argparse.Namespace) -> None:
    artifact = _open(store, arguments.ref)
    if arguments.verify:
        manifests.verify(artifact.path, artifact.manifest, store.root, label=str(artifact), again=True)
    print(f"{artifact}: {artifact.path}")
    print(json.dumps(artifact.manifest, indent=2, ensure_ascii=False))
    if arguments.verify:
        print(f"every file was read again and is whole ({readable_bytes(artifact.num_bytes)})")


def _lineage(store: Store, arguments: argparse.Namespace) -> None:
    artifact = _open(store, arguments.ref)
    ancestors = store.lineage(artifact)
    print(lineage_tree(artifact, ancestors))
    if arguments.svg is not None:
        arguments.svg.write_text(lineage_svg(artifact, ancestors), encoding="utf-8")
        print(f"picture: {arguments.svg}")


def _gc(store: Store, arguments: argparse.Namespace) -> None:
    garbage = collect(store, delete=arguments.delete)
    for artifact in garbage.artifacts:
        print(f"{artifact}, {readable_bytes(artifact.num_bytes)}: no name needs it")
    for path in garbage.unreadable:
        print(f"{path}: no readable manifest, and no name needs it")
    for path in garbage.drafts:
        print(f"{path}: unfinished, and its process is gone")
    count = len(garbage.artifacts) + len(garbage.unreadable) + len(garbage.drafts)
    if not count:
        print(f"nothing to remove: everything in {store.root} has a name or is needed by what has one")
    elif arguments.delete:
        print(f"removed {count}, {readable_bytes(garbage.num_bytes)}")
    else:
        print(f"{count} to remove, {readable_bytes(garbage.num_bytes)}; nothing was removed: add --delete")


def _export(store: Store, arguments: argparse.Namespace) -> None:
    artifact = _open(store, arguments.ref)
    size = export_archive(store, artifact, arguments.file)
    print(f"{arguments.file}: {artifact} and its lineage, {readable_bytes(size)}")


def _import(store: Store, arguments: argparse.Namespace) -> None:
    done = import_archive(store, arguments.file, arguments.name)
    for artifact in [*done.lineage, done.artifact]:
        print(f"{artifact}, {readable_bytes(artifact.num_bytes)}")
    for name in done.names_kept:
        print(f"the name {name!r} of the lineage means something else here and was left as it is")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.store.cli",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--store", type=Path, default=Path("artifacts"), help="the store's folder (artifacts)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, act: Callable[[Store, argparse.Namespace], None], about: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(act=act)
        return sub

    sub = command("list", _list, "list all artifacts, or those of one kind")
    sub.add_argument("kind", nargs="?", help=f"one of {', '.join(KINDS)}")
    sub = command("show", _show, "print the manifest of an artifact: files, config, parents, origin")
    sub.add_argument("ref")
    sub.add_argument("--verify", action="store_true", help="read every file again and check its SHA-256")
    sub = command("lineage", _lineage, "show what an artifact was made from, back to the beginning")
    sub.add_argument("ref")
    sub.add_argument("--svg", type=Path, metavar="FILE", help="draw it as a picture, too")
    sub = command("gc", _gc, "find what no name needs; --delete removes it")
    sub.add_argument("--delete", action="store_true", help="remove it")
    sub = command("export", _export, "write an artifact with its lineage into one .tar file")
    sub.add_argument("ref")
    sub.add_argument("file", type=Path)
    sub = command("import", _import, "bring an exported artifact in; every digest is checked")
    sub.add_argument("file", type=Path)
    sub.add_argument("--name", help="the name it takes here (else the one it was exported under)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            arguments.act(Store(arguments.store), arguments)
        for warning in caught:
            print(f"warning: {warning.message}", file=sys.stderr)
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
