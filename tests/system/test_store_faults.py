"""The store under faults: killed at any file operation, out of disk space, and raced by many processes."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ArtifactError
from shared.store import manifests
from shared.store.artifacts import Store
from shared.store.gc import collect

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("store_child.py")
OLD, NEW = 1, 2


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class Publishers:
    """The process that forks the publishing ones."""

    def __init__(self) -> None:
        self.process = start("serve")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def begin(self, root: Path, *numbers: int, **faults: int) -> None:
        print(json.dumps({"root": str(root), "numbers": numbers, **faults}), file=self.stdin, flush=True)

    def is_done(self) -> bool:
        return bool(select.select([self.stdout], [], [], 0)[0])

    def end(self) -> list[list]:
        return json.loads(self.stdout.readline())

    def publish(self, root: Path, number: int, **faults: int) -> tuple[int, str, str]:
        self.begin(root, number, **faults)
        [(code, out, err)] = self.end()
        return code, out, err


@pytest.fixture(scope="module")
def publishers() -> Iterator[Publishers]:
    forker = Publishers()
    yield forker
    forker.stdin.close()
    forker.process.wait(timeout=60)


def number_of(store: Store) -> int:
    return store.open("shared", "EvalReport").config["number"]


def check_whole(store: Store) -> None:
    """Everything that can be seen is complete, byte for byte."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for artifact in store.list():
            manifests.verify(artifact.path, artifact.manifest, store.root, again=True)


@pytest.fixture
def old_store(tmp_path: Path, publishers: Publishers) -> Path:
    """A store in which the name already means something."""
    root = tmp_path / "old"
    code, _, err = publishers.publish(root, OLD)
    assert code == 0, err
    return root


def copy_of(root: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(root, to)
    return to


def num_operations(publishers: Publishers, old_store: Path, scratch: Path) -> int:
    code, out, err = publishers.publish(copy_of(old_store, scratch), NEW)
    assert code == 0, err
    count = int(out.split()[1])
    assert count > 20, "the counter sees too little of a publish to prove anything"
    return count


def test_kill_at_every_file_operation_leaves_the_old_state_or_the_new_one(publishers, old_store, tmp_path):
    total = num_operations(publishers, old_store, tmp_path / "undisturbed")
    seen = []
    for at in range(1, total + 1):
        root = copy_of(old_store, tmp_path / "killed")
        code, _, _ = publishers.publish(root, NEW, die_at=at)
        assert code == -signal.SIGKILL, f"operation {at} of {total} was not reached"
        store = Store(root)
        check_whole(store)
        seen.append(number_of(store))
        by_key = store.find_key("step-1")
        assert by_key is not None
        assert by_key.config["number"] == NEW or at < total
        assert (by_key.config["number"], number_of(store)) != (NEW, OLD), "the key moved before the name"

        if at % 3 == 0 or at == total:  # the same command again mends everything
            code, _, err = publishers.publish(root, NEW)
            assert code == 0, err
            assert number_of(store) == NEW
            check_whole(store)
            assert not collect(store, delete=True).drafts, "the next publisher has swept the dead draft"
            assert [artifact.config["number"] for artifact in store.list()] == [NEW]
            assert [*store.drafts.iterdir()] == []
    assert seen == sorted(seen), "once the new state is seen, it stays"
    assert set(seen) == {OLD, NEW}, "the points cover both sides of the change"


def test_full_disk_at_every_operation_is_explained_and_publishes_nothing_by_halves(
    publishers, old_store, tmp_path
):
    total = num_operations(publishers, old_store, tmp_path / "undisturbed")
    outcomes = set()
    for at in range(1, total + 1):
        root = copy_of(old_store, tmp_path / "full")
        code, _, err = publishers.publish(root, NEW, full_from=at)
        store = Store(root)
        check_whole(store)
        outcomes.add((code, number_of(store)))
        if code:
            assert code == 2, err
            assert "is full" in err
            assert "of free space" in err
            assert "gc --delete" in err
            assert "--store=PATH" in err
            assert "Traceback" not in err
            assert not collect(store, delete=False).drafts
            assert [path for path in store.drafts.iterdir() if path.suffix != ".lock"] == []
    assert {(2, OLD), (2, NEW)} <= outcomes, "the disk filled up before and after the change"


def test_sixteen_processes_publish_one_name(publishers, old_store):
    numbers = range(10, 26)
    publishers.begin(old_store, *numbers)
    store = Store(old_store)
    num_reads = 0
    while not publishers.is_done():
        assert number_of(store) in {OLD, *numbers}  # a reader never sees a gap or half a file
        num_reads += 1
    answers = publishers.end()
    assert [code for code, _, _ in answers] == [0] * 16, answers
    assert num_reads > 0
    assert number_of(store) in numbers
    assert {artifact.config["number"] for artifact in store.list()} == {OLD, *numbers}
    check_whole(store)
    assert [*store.drafts.iterdir()] == []


def test_processes_publish_the_same_content(publishers, tmp_path):
    root = tmp_path / "store"
    publishers.begin(root, *[7] * 8)
    answers = publishers.end()
    assert [code for code, _, _ in answers] == [0] * 8, answers
    assert len({out.split()[0] for _, out, _ in answers}) == 1
    assert len(Store(root).list()) == 1
    check_whole(Store(root))


def test_gc_spares_a_living_draft_and_its_parents_and_sweeps_a_dead_one(tmp_path):
    store = Store(tmp_path / "store")
    with store.draft("EvalReport", config={}, parents={}) as draft:
        (draft.path / "report.json").write_text("{}")
    parent = draft.artifact
    holder = start("hold", store.root, parent.digest)
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())

    garbage = collect(store, delete=True)
    assert garbage.artifacts == []
    assert garbage.drafts == []
    assert folder.is_dir()
    assert parent.path.is_dir(), "no name needs it, but the draft in the making does"

    holder.kill()
    holder.communicate()
    garbage = collect(store, delete=True)
    assert garbage.drafts == [folder]
    assert garbage.artifacts == [parent]
    assert not folder.exists()
    assert not parent.path.exists()


def test_a_held_draft_is_published_after_gc_went_by(tmp_path):
    store = Store(tmp_path / "store")
    with store.draft("EvalReport", config={}, parents={}) as draft:
        (draft.path / "report.json").write_text("{}")
    holder = start("hold", store.root, draft.artifact.digest)
    assert holder.stdout is not None
    holder.stdout.readline()
    collect(store, delete=True)
    holder.communicate("go on\n", timeout=60)
    assert holder.returncode == 0
    held = store.open("held", "EvalReport")
    assert store.lineage(held) == [draft.artifact]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not checked: this platform has no /dev/full")
def test_a_write_that_the_kernel_refuses_for_lack_of_space_is_explained(tmp_path):
    store = Store(tmp_path / "store")

    def publish() -> None:
        with store.draft("EvalReport", config={}, parents={}, name="big") as draft:
            (draft.path / "part.bin").write_bytes(b"x" * 100_000)
            with open("/dev/full", "w") as file:
                file.write("x" * 100_000)

    with pytest.raises(ArtifactError, match=r"is full: this EvalReport wants more than 100 kB"):
        publish()
    assert store.list() == []
    assert store.names("EvalReport") == {}
    assert [*store.drafts.iterdir()] == []


@pytest.mark.skipif(shutil.which("git") is None, reason="not checked: git is not installed")
def test_asking_for_the_code_version_writes_nothing_that_a_kill_could_leave_behind(tmp_path, monkeypatch):
    """A lock of git's index that stays behind refuses the user's next commit."""

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "file").write_text("one")
    git("init")
    git("add", ".")
    git("commit", "--message=one")
    os.utime(tmp_path / "file", (1e9, 1e9))  # git would like to note that, in the index
    index = (tmp_path / ".git" / "index").read_bytes()
    monkeypatch.setattr(manifests, "CHECKOUT", tmp_path)
    version = manifests.code_version.__wrapped__
    commit = version()
    assert (tmp_path / ".git" / "index").read_bytes() == index
    assert len(commit) >= 12
    assert "dirty" not in commit
    (tmp_path / "new").write_text("not yet git's")
    assert version() == commit
    (tmp_path / "file").write_text("two")
    assert version() == f"{commit}-dirty"
