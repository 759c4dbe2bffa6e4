"""The store in a browser: what it lists, what it serves, and what it keeps to itself."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.report.serve import store_app
from shared.serve.journal import Journal
from shared.serve.server import running
from shared.serve.settings import ServerConfig
from shared.store.artifacts import Artifact, Store
from tests.system.http_client import Answer, ask, raw

EVIL = "<script>document.title = 'owned'</script>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("browser")
    (root / "secret.txt").write_text("not for the web")
    store = Store(root / "artifacts")
    with store.draft("Corpus", config={"kind": EVIL}, parents={}, name="stories") as corpus:
        (corpus.path / "corpus.json").write_text("{}")
        (corpus.path / "train.txt").write_text(EVIL)
        (corpus.path / "page.html").write_text(EVIL)
        (corpus.path / "swapped.txt").write_text("was a file")
        (corpus.path / "white space & more.txt").write_text("found")
    with store.draft("Report", config={}, parents={"corpus": corpus.artifact.digest}, name="base") as report:
        (report.path / "index.html").write_text("<title>the report</title>")
        (report.path / "measured").mkdir()
        (report.path / "measured" / "cost.js").write_text("window.cost = {};")
    swapped = corpus.artifact.path / "swapped.txt"  # a link that somebody put in a listed file's place later
    swapped.parent.chmod(0o755)
    swapped.unlink()
    swapped.symlink_to(root / "secret.txt")
    return store


@pytest.fixture(scope="module")
def port(store: Store) -> Iterator[int]:
    with running(
        store_app(store), ServerConfig(port=0, burst_requests=10_000), Journal(io.StringIO())
    ) as server:
        yield server.port


def file(port: int, artifact: Artifact, name: str) -> Answer:
    return ask(port, f"/artifacts/{artifact.kind}/{artifact.digest}/files/{name}")


def test_the_home_page_links_every_artifact_and_runs_nothing(port: int, store: Store) -> None:
    answer = ask(port, "/")
    text = answer.body.decode()
    for artifact in store.list():
        assert f"/artifacts/{artifact.kind}/{artifact.digest}" in text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


def test_the_list_for_programs_is_the_stores(port: int, store: Store) -> None:
    rows = ask(port, "/api/artifacts").json["artifacts"]
    assert [(row["kind"], row["digest"], row["name"], row["num_bytes"], row["parents"]) for row in rows] == [
        (one.kind, one.digest, one.name_hint, one.num_bytes, one.parents) for one in store.list()
    ]


def test_an_artifacts_page_shows_foreign_text_and_does_not_run_it(port: int, store: Store) -> None:
    corpus = store.open("stories", "Corpus", verify=False)
    text = ask(port, "/artifacts/Corpus/stories").body.decode()
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert corpus.digest in text
    assert "white%20space%20%26%20more.txt" in text
    report = ask(port, f"/artifacts/Report/{store.open('base', 'Report').digest[:10]}").body.decode()
    assert f"/artifacts/Corpus/{corpus.digest}" in report, "its lineage"


def test_files_come_sandboxed_and_only_reports_as_pages(port: int, store: Store) -> None:
    corpus, report = store.open("stories", "Corpus", verify=False), store.open("base", "Report")
    page = file(port, report, "index.html")
    assert page.headers["content-type"].startswith("text/html")
    assert page.body == b"<title>the report</title>"
    assert file(port, report, "measured/cost.js").status == 200
    assert file(port, corpus, "train.txt").headers["content-type"].startswith("text/plain")
    assert file(port, corpus, "white%20space%20%26%20more.txt").body == b"found"
    foreign = file(port, corpus, "page.html")
    assert foreign.headers["content-type"] == "application/octet-stream"
    assert foreign.headers["content-disposition"].startswith("attachment")
    for answer in (page, foreign):
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
        assert "allow-same-origin" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    [
        "../../../secret.txt",
        "..%2f..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/%2e%2e/secret.txt",
        "..%5c..%5csecret.txt",
        "../manifest.json",
        "manifest.json",
        "swapped.txt",
        "train.txt%00",
        "",
        ".",
    ],
)
def test_nothing_outside_of_the_manifest_can_be_asked_for(port: int, store: Store, name: str) -> None:
    corpus = store.open("stories", "Corpus", verify=False)
    path = f"/artifacts/Corpus/{corpus.digest}/files/{name}"
    data = raw(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert data.startswith(b"HTTP/1.1 404 "), data[:200]
    assert b"not for the web" not in data
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"]["do"]


def test_a_manifest_from_elsewhere_cannot_point_outside(store: Store, tmp_path: Path, port: int) -> None:
    """An artifact by another hand may list `../..`: a listed name must lie inside as well."""
    from shared.store import manifests

    files = {"../../../secret.txt": {"sha256": "0" * 64, "bytes": 15}}
    manifest = {"kind": "Corpus", "schema": 1, "files": files, "config": {}, "parents": {}, "origin": {}}
    manifest["digest"] = manifests.digest_of(manifest)
    folder = store.root / "Corpus" / str(manifest["digest"])
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path = f"/artifacts/Corpus/{manifest['digest']}/files/..%2f..%2f..%2fsecret.txt"
    answer = ask(port, path)
    assert (answer.status, answer.code) == (404, "no_file")


@pytest.mark.parametrize(
    "path",
    ["/artifacts/Corpus/none", "/artifacts/..%2f..%2fetc/x", "/artifacts/Kind/..", "/artifacts/keys/a"],
)
def test_what_is_not_there_is_said_in_json(port: int, path: str) -> None:
    answer = ask(port, path)
    assert answer.status == 404
    assert answer.json["error"]["do"]


@pytest.mark.filterwarnings("ignore:.*is damaged")  # on the server's stderr: the list leaves it out
def test_a_damaged_artifact_is_said_to_be(port: int, store: Store) -> None:
    folder = store.root / "Corpus" / ("f" * 64)
    folder.mkdir()
    (folder / "manifest.json").write_text("{ torn")
    answer = ask(port, f"/artifacts/Corpus/{'f' * 64}")
    assert answer.code == "no_artifact"
    assert "which file" in answer.json["error"]["do"]
    assert str(store.root).encode() not in answer.body
    assert ask(port, "/").status == 200, "the others are still listed"


def test_it_only_reads(port: int, store: Store) -> None:
    before = {path for path in store.root.rglob("*") if ".verified" not in path.parts}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(port, "/artifacts/Corpus/stories", method).status == 405
    assert {path for path in store.root.rglob("*") if ".verified" not in path.parts} == before
