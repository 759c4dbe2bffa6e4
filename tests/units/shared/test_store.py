"""The laws of the store: digests, names, keys, damage, garbage."""

import json
import os
import platform
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ArtifactError, ConfigError
from shared.store import disk, manifests
from shared.store.artifacts import Artifact, Store
from shared.store.gc import collect

SAME_FOLDER = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = {"report.json": b"{}", "b/two.bin": b"\x00\x01", "a.txt": b"one"}


def make(
    store: Store,
    files: dict[str, bytes] = FILES,
    *,
    config: dict | None = None,
    parents: dict | None = None,
    **options,
) -> Artifact:
    with store.draft("EvalReport", config=config or {}, parents=parents or {}, **options) as draft:
        for name, content in files.items():
            (draft.path / name).parent.mkdir(parents=True, exist_ok=True)
            (draft.path / name).write_bytes(content)
    return draft.artifact


def damage(artifact: Artifact, name: str, content: bytes) -> None:
    path = artifact.path / name
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


# --- digests ---


def test_digest_does_not_depend_on_time_host_order_or_cost(tmp_path, monkeypatch):
    one = make(Store(tmp_path / "here"), config={"a": 1, "b": [1, 2]})
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    monkeypatch.setattr(manifests, "code_version", lambda: "later")
    with Store(tmp_path / "there").draft("EvalReport", config={"b": [1, 2], "a": 1}, parents={}) as draft:
        for name, content in reversed(FILES.items()):
            (draft.path / name).parent.mkdir(exist_ok=True)
            (draft.path / name).write_bytes(content)
            os.utime(draft.path / name, (1, 1))
        draft.cost_seconds, draft.cost_flops = 1e6, 1e18
    assert draft.artifact.digest == one.digest
    assert draft.artifact.origin["host"] == "elsewhere" != one.origin["host"]
    assert draft.artifact.origin["cost_flops"] == 1e18


@pytest.mark.parametrize(
    "change",
    [
        {"files": FILES | {"a.txt": b"One"}},
        {"files": FILES | {"c.txt": b""}},
        {"files": {name.replace("a.txt", "A.txt"): content for name, content in FILES.items()}},
        {"config": {"seed": 1}},
        {"config": {"seed": 0}, "schema": 2},
        {"config": {"seed": None}},
    ],
)
def test_digest_depends_on_files_config_and_schema(store, change):
    assert make(store, **{"config": {"seed": 0}} | change).digest != make(store, config={"seed": 0}).digest


def test_digest_depends_on_kind_and_parents(store):
    parent = make(store)
    plain = make(store, {"report.json": b"{}", "index.html": b""})
    child = make(store, {"report.json": b"{}", "index.html": b""}, parents={"model": parent.digest})
    with store.draft("Report", config={}, parents={}) as draft:
        (draft.path / "report.json").write_bytes(b"{}")
        (draft.path / "index.html").write_bytes(b"")
    assert len({plain.digest, child.digest, draft.artifact.digest}) == 3


def test_measured_files_are_kept_and_verified_outside_the_digest(store, tmp_path):
    slow = make(Store(tmp_path / "slow"), {**FILES, "measured/seconds.json": b"9"})
    fast = make(store, {**FILES, "measured/seconds.json": b"1"})
    assert slow.digest == fast.digest == make(Store(tmp_path / "none")).digest
    assert fast.file("measured/seconds.json").read_bytes() == b"1"
    damage(fast, "measured/seconds.json", b"2")
    with pytest.raises(ArtifactError, match=r"measured/seconds\.json"):
        store.open(fast.digest)


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@SAME_FOLDER
@given(config=st.dictionaries(st.text("abcdef", min_size=1, max_size=5), plain_json, max_size=4))
def test_any_json_config_comes_back(store, config):
    artifact = make(store, {"report.json": b"{}"}, config=config)
    assert store.open(artifact.digest, "EvalReport").config == config


@pytest.mark.parametrize("value", [Path("x"), float("nan"), {1, 2}, "\ud800", b"bytes"])
def test_config_that_json_cannot_hold_is_refused_by_field(store, value):
    with pytest.raises(ConfigError, match="'bad'"):
        make(store, config={"good": 1, "bad": value})
    assert store.list() == []


# --- finding ---


def test_open_by_name_digest_and_prefix(store):
    artifact = make(store, name="base")
    for ref in ("base", artifact.digest, artifact.digest[:6]):
        found = store.open(ref, "EvalReport")
        assert found == artifact
        assert found.name_hint == "base"
        assert store.open(ref) == artifact
    assert artifact.file("b/two.bin").read_bytes() == b"\x00\x01"


def test_a_name_moves_to_what_was_published_last(store):
    first, second = make(store, config={"v": 1}, name="base"), make(store, config={"v": 2}, name="base")
    assert store.open("base", "EvalReport") == second != first
    assert store.open(first.digest, "EvalReport") == first
    make(store, config={"v": 1}, name="base")
    assert store.names("EvalReport") == {"base": first.digest}


def test_missing_names_the_nearest_and_the_command(store):
    make(store, name="stories-base")
    with pytest.raises(
        ArtifactError, match=r"stories-base.*evaluate_lm --checkpoint=story-base --name=story-base"
    ):
        store.open("story-base", "EvalReport")
    with pytest.raises(ArtifactError, match=r"no names of that kind yet.*train_lm --shards=base --name=base"):
        store.open("base", "Checkpoint")
    with pytest.raises(ArtifactError, match="did you mean EvalReport"):
        store.open("stories-base", "EvalReprot")


def test_ambiguous_references_are_refused(store):
    make(store, name="same")
    with store.draft("Report", config={}, parents={}, name="same") as draft:
        (draft.path / "index.html").write_text("")
    with pytest.raises(ArtifactError, match=r"say which kind: EvalReport, Report"):
        store.open("same")
    folder = store.root / "EvalReport"
    for digit in "01":
        (folder / ("abcdef" + digit * 58)).mkdir()
    with pytest.raises(ArtifactError, match="not unique"):
        store.open("abcdef", "EvalReport")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "-x", "a b", "ä", "a" * 101, "f" * 64])
def test_unfit_names_are_refused(store, name):
    with pytest.raises(ConfigError, match="cannot name an artifact"):
        make(store, name=name)


def test_file_must_be_in_the_manifest(store):
    artifact = make(store)
    for name in ("manifest.json", "../x", "/etc/passwd", "c.txt"):
        with pytest.raises(ArtifactError, match="has no file"):
            artifact.file(name)


def test_find_key(store):
    assert store.find_key("0" * 64) is None
    artifact = make(store, name="base", key="0" * 64)
    assert store.find_key("0" * 64) == artifact
    damage(artifact, "a.txt", b"two")
    with pytest.warns(UserWarning, match=r"run again.*a\.txt"):
        assert store.find_key("0" * 64) is None


def test_lineage_has_each_ancestor_once_nearest_first(store):
    root = make(store, config={"n": 0})
    left = make(store, config={"n": 1}, parents={"root": root.digest})
    right = make(store, config={"n": 2}, parents={"root": root.digest})
    leaf = make(store, config={"n": 3}, parents={"left": left.digest, "right": right.digest})
    assert store.lineage(leaf) == [left, right, root]
    assert store.lineage(root) == []


# --- what is not published ---


def test_an_exception_leaves_nothing(store):
    def fail() -> None:
        with store.draft("EvalReport", config={}, parents={}, name="base") as draft:
            (draft.path / "report.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert store.list() == []
    assert [*store.drafts.iterdir()] == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other.json": b""}, "needs report.json, and the draft has: other.json"),
        ({"report.json": b"", "manifest.json": b""}, "rename it"),
    ],
)
def test_a_draft_with_wrong_files_is_refused(store, files, message):
    with pytest.raises(ArtifactError, match=message):
        make(store, files)
    assert store.list() == []


def test_a_link_in_a_draft_is_refused(store, tmp_path):
    def link() -> None:
        with store.draft("EvalReport", config={}, parents={}) as draft:
            (draft.path / "report.json").symlink_to(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").write_text("{}")
    with pytest.raises(ArtifactError, match=r"'report\.json' is not a plain file"):
        link()


@pytest.mark.parametrize("parent", ["base", "0" * 64, "../.."])
def test_an_unknown_parent_is_refused(store, parent):
    make(store, name="base")
    with pytest.raises(ArtifactError, match="parent 'model'"):
        make(store, parents={"model": parent})


def test_too_little_space_is_met_before_the_work(store):
    def ask() -> None:
        with store.draft("EvalReport", config={}, parents={}) as draft:
            draft.require_free(10**18)

    with pytest.raises(ArtifactError, match=r"wants 1e\+06 TB of free space, and .* is free.*gc --delete"):
        ask()


# --- damage ---


def test_published_files_are_write_protected(store):
    artifact = make(store)
    assert all(artifact.file(name).stat().st_mode & 0o222 == 0 for name in artifact.files)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"on", r"a\.txt is truncated: 2 bytes instead of 3"),
        (b"ones", "too long"),
        (b"onf", "has other content"),
    ],
)
def test_a_damaged_file_is_named_with_the_mend(store, content, message):
    artifact = make(store, name="base")
    store.open("base", "EvalReport")
    damage(artifact, "a.txt", content)
    with pytest.raises(ArtifactError, match=message) as caught:
        store.open("base", "EvalReport")
    assert "evaluate_lm" in str(caught.value)
    store.open("base", "EvalReport", verify=False)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 4999), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(store, position, bit):
    content = bytes(range(250)) * 20
    artifact = make(store, {"report.json": content})
    flipped = bytearray(content)
    flipped[position] ^= 1 << bit
    damage(artifact, "report.json", bytes(flipped))
    with pytest.raises(ArtifactError, match=r"report\.json has other content"):
        store.open(artifact.digest)
    damage(artifact, "report.json", content)  # for the next example


def test_a_missing_file_and_an_altered_manifest_are_named(store):
    artifact = make(store, name="base")
    artifact.file("a.txt").unlink()
    with pytest.raises(ArtifactError, match=r"a\.txt is missing"):
        store.open("base", "EvalReport")
    text = (artifact.path / "manifest.json").read_text()
    for damaged in (
        text.replace('"config": {}', '"config": {"seed": 1}'),
        text[: len(text) // 2],
        "[]",
        "[" * 10**5,
    ):
        damage(artifact, "manifest.json", damaged.encode())
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            store.open("base", "EvalReport")


def test_the_manifest_of_another_artifact_is_refused(store):
    one, other = make(store, config={"n": 1}), make(store, config={"n": 2})
    damage(one, "manifest.json", (other.path / "manifest.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"manifest\.json describes .* it was altered"):
        store.open(one.digest)


def test_publishing_again_replaces_the_damaged_copy(store):
    artifact = make(store, name="base")
    damage(artifact, "a.txt", b"bad")
    with pytest.warns(UserWarning, match=r"replacing a damaged artifact.*a\.txt"):
        again = make(store, name="base")
    assert again == artifact
    assert store.open("base").file("a.txt").read_bytes() == b"one"


def test_another_schema_is_refused(store):
    make(store, name="base", schema=2)
    with pytest.raises(ArtifactError, match=r"schema 2 of EvalReport, and this code reads schema 1"):
        store.open("base", "EvalReport")


def test_a_damaged_name_file_is_named(store):
    make(store, name="base")
    pointer = store.root / "names" / "EvalReport" / "base.json"
    for text in ('{"kind": "EvalReport"', "[]", '{"kind": "EvalReport", "digest": "../.."}'):
        pointer.write_text(text)
        with pytest.raises(ArtifactError, match=r"base\.json is damaged"):
            store.open("base", "EvalReport")


# --- verification is remembered ---


def test_files_are_hashed_once_per_inode_size_and_time(store, monkeypatch):
    artifact = make(store, name="base")
    hashed = []
    real = disk.sha256_of
    monkeypatch.setattr(disk, "sha256_of", lambda path: hashed.append(path.name) or real(path))
    store.open("base")
    assert hashed == [], "what was just published is known to be good"
    os.utime(artifact.file("a.txt"), (1, 1))
    store.open("base")
    store.open("base")
    assert hashed == ["a.txt"]
    for memory in (store.root / ".verified").iterdir():
        memory.write_text("{torn")
    store.open("base")
    assert sorted(hashed[1:]) == ["a.txt", "report.json", "two.bin"]


# --- garbage ---


def test_gc_keeps_names_and_their_lineage_and_removes_the_rest(store):
    root = make(store, config={"n": 0})
    kept = make(store, config={"n": 1}, parents={"root": root.digest}, name="kept")
    unnamed = make(store, config={"n": 2}, parents={"root": root.digest}, key="step")
    broken = store.root / "EvalReport" / ("a" * 64)
    broken.mkdir()
    (store.drafts / "pointer-1-aa.tmp").write_text("{}")

    found = collect(store, delete=False)
    assert found.artifacts == [unnamed]
    assert found.unreadable == [broken]
    assert found.num_bytes > unnamed.num_bytes
    assert unnamed.path.is_dir()

    assert collect(store, delete=True).artifacts == [unnamed]
    assert store.list() == [root, kept]
    assert not broken.exists()
    assert [*store.drafts.iterdir()] == []
    assert [*(store.root / "keys").iterdir()] == []
    assert collect(store, delete=True).artifacts == []


def test_gc_refuses_to_guess_when_a_needed_manifest_is_damaged(store):
    kept, unnamed = make(store, config={"n": 1}, name="kept"), make(store, config={"n": 2})
    damage(kept, "manifest.json", b"{}")
    with pytest.raises(ArtifactError, match="damaged"):
        collect(store, delete=True)
    assert unnamed.path.is_dir()


def test_gc_of_no_store(tmp_path):
    assert collect(Store(tmp_path / "none"), delete=True).artifacts == []
    assert not (tmp_path / "none").exists()


def test_manifest_is_plain_json_with_the_promised_fields(store):
    manifest = json.loads((make(store).path / "manifest.json").read_text())
    assert manifest.keys() == {"kind", "schema", "digest", "files", "config", "parents", "origin"}
    assert manifest["origin"].keys() == {"code_version", "host", "created", "cost_seconds", "cost_flops"}
