"""What the store costs as it fills: counted in calls, so that no clock and no other work on the machine matters.

Four times as much of something may take four times the calls where every item must be looked at; were each compared
with each, it would be sixteen.
"""

import os
import sys
from pathlib import Path

import pytest

from shared.store.archive import export_archive, import_archive
from shared.store.artifacts import Artifact, Store
from shared.store.cli import main
from shared.store.gc import collect
from shared.store.lineage import lineage_svg, lineage_tree
from tests.units.shared.call_counts import CONSTANT, FEW, LINEAR, MANY, calls, calls_ratio


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    """Nothing here is about surviving power cuts, and waiting for the disk takes a minute."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def publish(store: Store, number: int, parent: Artifact | None = None) -> Artifact:
    parents = {"data": parent.digest} if parent else {}
    with store.draft("Report", config={"number": number}, parents=parents, name=f"r{number}") as draft:
        (draft.path / "index.html").write_text("x")
    return draft.artifact


def filled(root: Path, count: int, *, chained: bool = False) -> Store:
    store, last = Store(root), None
    for number in range(count):
        last = publish(store, number, last if chained else None)
    return store


def ratio(tmp_path: Path, work, *, chained: bool = False) -> float:
    """Calls in a store of many over calls in a store of few; `work(store, number of artifacts)`."""

    def prepare(count: int):
        store = filled(tmp_path / f"{count}", count, chained=chained)
        return lambda: work(store, count)

    return calls_ratio(prepare)


def test_calls_tell_a_loop_in_a_loop_from_a_loop():
    def looped(count):
        return calls(lambda: [abs(number) for number in range(count)])

    def nested(count):
        return calls(lambda: [abs(other) for number in range(count) for other in range(count)])

    assert looped(MANY) / looped(FEW) < LINEAR < nested(MANY) / nested(FEW)


def test_opening_by_name_costs_the_same_in_a_fuller_store(tmp_path):
    assert ratio(tmp_path, lambda store, count: store.open("r3")) < CONSTANT
    assert ratio(tmp_path / "of a kind", lambda store, count: store.open("r3", "Report")) < CONSTANT


def test_publishing_costs_the_same_in_a_fuller_store(tmp_path):
    assert ratio(tmp_path, lambda store, count: publish(store, count)) < CONSTANT
    child = lambda store, count: publish(store, count, store.open("r0"))  # noqa: E731
    assert ratio(tmp_path / "of a parent", child) < CONSTANT


def test_listing_is_linear(tmp_path, capsys):
    assert ratio(tmp_path, lambda store, count: main(["--store", str(store.root), "list"])) < LINEAR
    assert f"r{MANY - 1}" in capsys.readouterr().out


@pytest.mark.parametrize("chained", [False, True])
def test_collecting_garbage_is_linear(tmp_path, chained):
    assert ratio(tmp_path, lambda store, count: collect(store, delete=False), chained=chained) < LINEAR


def test_lineage_is_linear_in_its_length(tmp_path):
    def work(store, count):
        leaf = store.open(f"r{count - 1}")
        ancestors = store.lineage(leaf)
        assert [ancestor.name_hint for ancestor in ancestors] == [f"r{n}" for n in range(count - 2, -1, -1)]
        lineage_tree(leaf, ancestors)
        lineage_svg(leaf, ancestors)

    assert ratio(tmp_path, work, chained=True) < LINEAR


def test_an_archive_is_linear_in_its_lineage(tmp_path):
    def work(store, count):
        archive, there = store.root.with_suffix(".tar"), Store(store.root.with_suffix(".there"))
        export_archive(store, store.open(f"r{count - 1}"), archive)
        import_archive(there, archive)

    assert ratio(tmp_path, work, chained=True) < LINEAR


def test_an_artifact_of_many_files_is_published_and_read_in_linear_time(tmp_path):
    def work(store, count):
        with store.draft("Report", config={}, parents={}) as draft:
            for name in ["index.html", *map(str, range(count))]:
                (draft.path / name).write_text("x")
        opened = store.open(draft.artifact.digest)
        assert all(opened.file(str(number)).is_file() for number in range(count))

    assert ratio(tmp_path, work) < LINEAR


def test_a_lineage_may_be_deeper_than_calls_can_nest(tmp_path):
    """As training that goes on from checkpoint to checkpoint makes; the pictures once recursed."""
    depth = sys.getrecursionlimit() + 100
    manifest = {"kind": "Report", "files": {}, "config": {}, "origin": {}}

    def link(number: int) -> Artifact:
        parents = {"data": f"{number - 1:064x}"} if number else {}
        return Artifact("Report", f"{number:064x}", tmp_path, manifest | {"parents": parents})

    leaf, ancestors = link(depth), [link(number) for number in range(depth - 1, -1, -1)]
    assert len(lineage_tree(leaf, ancestors).split("\n")) == depth + 1
    assert lineage_svg(leaf, ancestors).count("<g>") == depth + 1
