"""The catalog, from a row to a Corpus: listings, pins, files that came by other means, kills, two at once."""

import gzip
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.corpora import catalog as rows
from shared.corpora import fetch as program
from shared.corpora import sources
from shared.corpora.catalog import Dataset, Source, catalog
from shared.corpora.fetch import FetchDataset
from shared.corpora.sources import is_plain_name, remote_files
from shared.errors import ConfigError, DataError
from shared.report.reproduce import commands
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_corpus
from tests.units.shared.archives import tar_of
from tests.units.shared.data_server import Page, Site, serving

ROOT = Path(__file__).resolve().parents[3]
END = "<|endoftext|>"
ASKED_FOR = (
    *("tinyshakespeare", "tinystories", "openwebtext", "fineweb_edu", "wikitext103", "korean_wikipedia"),
    *("paloma_c4_100", "common_crawl_warc", "common_crawl_wet", "lid176", "gsm8k", "openr1_math", "hh_rlhf"),
    *("alpaca", "mmlu", "civil_comments"),
)
STORIES = [f"Story {number}.\nOnce upon a time.\n" for number in range(100)]


def text_of(stories: list[str]) -> bytes:
    return "".join(story + END + "\n" for story in stories).encode()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("LM_TEST_DATA", raising=False)
    with serving(Site()) as site:
        monkeypatch.setattr(sources, "HUB", site.url)
        yield site


def row_of(*files: Source, becomes: str = "Corpus", **settings: Any) -> Dataset:
    about = {"title": "t", "licence": "free", "citation": "c", "page": "https://example.org", "splits": "s"}
    settings = {"stand_in": "make toy"} | settings
    return Dataset("toys", **about, becomes=becomes, used_by=(), files=files, **settings)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the program on one row and returns its status; `data` and `artifacts` lie in the test's folder."""

    def run(row: Dataset, *arguments: str) -> int:
        monkeypatch.setattr(program, "dataset", lambda name: row)
        places = ["--data", str(tmp_path / "data"), "--store", str(tmp_path / "artifacts")]
        return run_program(program.main, program.PRESETS, argv=["--dataset", row.name, *places, *arguments])

    return run


def hub_listing(files: dict[str, bytes], commit: str = "c0ffee") -> Page:
    siblings = [
        {"rfilename": name, "size": len(content), "lfs": {"sha256": hashlib.sha256(content).hexdigest()}}
        for name, content in files.items()
    ]
    return Page(json.dumps({"sha": commit, "siblings": siblings}).encode())


def on_the_hub(site: Site, files: dict[str, bytes], commit: str = "c0ffee") -> None:
    site.pages["/api/datasets/them/toys/revision/main?blobs=true"] = hub_listing(files, commit)
    for name, content in files.items():
        site.pages[f"/datasets/them/toys/resolve/{commit}/{name}"] = Page(content)


# ---------------------------------------------------------------------------- the rows


def test_the_catalog_holds_what_later_stages_need() -> None:
    assert set(ASKED_FOR) == set(catalog())
    for row in catalog().values():
        assert row.licence
        assert row.citation
        assert row.splits
        assert row.used_by
        assert row.size_bytes > 0
        assert row.stand_in or row.becomes == "files"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"licence": None}, "licence"),
        ({"colour": "red"}, "colour"),
        ({"becomes": "Checkpoint"}, "neither 'Corpus' nor 'files'"),
        ({"page": "http://example.org"}, "not https"),
        ({"files": [{"url": "http://example.org/x"}]}, "not https"),
        ({"files": [{"url": "https://e.org/x", "hub": "a/b"}]}, "one of url, hub and paths"),
        ({"files": [{"hub": "a/b"}]}, "wants a pattern"),
        ({"files": [{"url": "https://e.org/x", "sha256": "abc"}]}, "64 hexadecimal"),
        ({"files": [{"url": "https://e.org/x", "unpack": "rar"}]}, "neither 'tar' nor 'zip'"),
        (
            {"files": [{"url": "https://e.org/x", "split": "train"}, {"url": "https://e.org/y"}]},
            "a split or none",
        ),
    ],
)
def test_rows_that_cannot_be_meant_are_refused(tmp_path: Path, change: dict[str, Any], wanted: str) -> None:
    row = {"title": "t", "licence": "l", "citation": "c", "page": "https://e.org", "becomes": "Corpus"}
    row |= {"splits": "s", "used_by": ["a"], "stand_in": "", "files": [{"url": "https://e.org/x"}]}
    good = {key: value for key, value in (row | change).items() if value is not None}
    with pytest.raises(ConfigError, match=wanted):
        rows._dataset("toys", good)
    rows._dataset("toys", row)


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(program.main, program.PRESETS, argv=["--dataset", "tinystorys"]) == 2
    assert "did you mean 'tinystories'?" in capsys.readouterr().err


def test_the_list_names_every_data_set_with_its_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main(FetchDataset(data=tmp_path))
    printed = capsys.readouterr().out
    assert all(name in printed and catalog()[name].licence in printed for name in ASKED_FOR)
    assert not list(tmp_path.iterdir())


def test_dry_run_says_size_and_licence_and_fetches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--dataset", "tinystories", "--data", str(tmp_path / "data"), "--dry-run"]
    assert run_program(program.main, program.PRESETS, argv=argv) == 0
    assert "2.25 GB" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------------------- from a row to a Corpus


def test_a_data_set_becomes_a_corpus_with_its_publishers_splits(site: Site, tmp_path: Path, run: Any) -> None:
    on_the_hub(
        site, {"toys-train.txt": text_of(STORIES), "toys-valid.txt": text_of(STORIES[:3]), "other.bin": b"x"}
    )
    split = {"train": "toys-train.txt", "val": "toys-valid.txt"}
    row = row_of(*(Source(hub="them/toys", pattern=pattern, split=name) for name, pattern in split.items()))
    assert run(row) == 0
    corpus = read_corpus(Store(tmp_path / "artifacts").open("toys", "Corpus"))
    assert corpus.splits == ("train", "val")
    assert [text.strip() for text in corpus.documents("train")] == [story.strip() for story in STORIES]
    assert corpus.num_documents("val") == 3
    config = corpus.artifact.manifest["config"]
    assert config["licence"] == "free"
    assert config["sha256"]["toys-train.txt"] == hashlib.sha256(text_of(STORIES)).hexdigest()
    assert str(tmp_path) not in json.dumps(corpus.artifact.manifest)
    before = len(site.requests)
    assert run(row) == 0  # nothing is asked for or made twice
    assert len(site.requests) == before


def test_records_are_split_by_the_hash_of_their_text(site: Site, tmp_path: Path, run: Any) -> None:
    lines = b"".join(json.dumps({"text": story, "id": 1}).encode() + b"\n" for story in STORIES)
    on_the_hub(site, {"a/0.jsonl.gz": gzip.compress(lines), "a/1.jsonl.gz": gzip.compress(lines)})
    assert run(row_of(Source(hub="them/toys", pattern="a/*.jsonl.gz"), field="text", val_every=5)) == 0
    corpus = read_corpus(Store(tmp_path / "artifacts").open("toys", "Corpus"))
    train, val = set(corpus.documents("train")), set(corpus.documents("val"))
    assert not train & val
    assert train | val == set(STORIES)
    assert 8 <= len(val) <= 35  # a fifth of 100: within four deviations of 20


def test_the_report_says_how_to_fetch_it_again(site: Site, tmp_path: Path, run: Any) -> None:
    site.pages["/a.txt"] = Page(text_of(STORIES))
    assert run(row_of(Source(url=site.url + "/a.txt")), "--name", "mine") == 0
    [line] = commands([Store(tmp_path / "artifacts").open("mine", "Corpus")])
    assert line == "python -m shared.corpora.fetch --name mine --dataset toys"


def test_what_killed_processes_left_is_swept(site: Site, tmp_path: Path, run: Any) -> None:
    site.pages["/a.txt"] = Page(text_of(STORIES))
    folder = tmp_path / "data" / "toys"
    folder.mkdir(parents=True)
    for name in ("b.txt.part", "b.txt.part.json", "b.txt.copy", "pointer-1-2.tmp"):
        (folder / name).write_text("x")
    assert run(row_of(Source(url=site.url + "/a.txt"))) == 0
    assert {path.name for path in folder.iterdir()} == {".lock", "a.txt", "pins.json"}


def test_a_list_of_paths_gives_its_first_files(site: Site, tmp_path: Path, run: Any) -> None:
    names = [f"crawl/wet/{number}.warc.wet.gz" for number in range(5)]
    site.pages["/wet.paths.gz"] = Page(gzip.compress("\n".join(names).encode()))
    for name in names:
        site.pages["/" + name] = Page(name.encode())
    source = Source(paths=site.url + "/wet.paths.gz", base=site.url + "/", at_most=2)
    assert run(row_of(source, becomes="files")) == 0
    folder = tmp_path / "data" / "toys"
    assert sorted(path.name for path in folder.glob("*.gz")) == ["0.warc.wet.gz", "1.warc.wet.gz"]
    assert run(row_of(source, becomes="files"), "--files", "3") == 0
    assert (folder / "2.warc.wet.gz").read_bytes() == names[2].encode()
    assert len([path for path, _ in site.requests if path.endswith("0.warc.wet.gz")]) == 1
    assert run(row_of(Source(url=site.url + "/x"), becomes="files"), "--files", "3") == 2


def test_an_archive_is_unpacked_beside_itself(site: Site, tmp_path: Path, run: Any) -> None:
    site.pages["/toys.tar"] = Page(tar_of(("data/dev/a.csv", b"1,2"), ("data/test/b.csv", b"3")))
    source = Source(url=site.url + "/toys.tar", unpack="tar", about_unpacked_bytes=1000)
    assert run(row_of(source, becomes="files")) == 0
    place = tmp_path / "data" / "toys" / "toys.tar.unpacked"
    assert (place / "data" / "dev" / "a.csv").read_bytes() == b"1,2"


# ---------------------------------------------------------------------------- pins


def test_the_first_fetch_pins_what_nobody_knew(site: Site, tmp_path: Path, run: Any, capsys: Any) -> None:
    site.pages["/a.txt"] = Page(text_of(STORIES))
    row = row_of(Source(url=site.url + "/a.txt"))
    assert run(row) == 0
    folder = tmp_path / "data" / "toys"
    pins = json.loads((folder / "pins.json").read_text())
    assert pins["files"]["a.txt"]["sha256"] == hashlib.sha256(text_of(STORIES)).hexdigest()
    (folder / "a.txt").unlink()
    site.pages["/a.txt"] = Page(text_of(STORIES[1:]), {"ETag": '"2"'})  # its publisher changed it
    capsys.readouterr()
    assert run(row) == 2
    assert "and should be " + pins["files"]["a.txt"]["sha256"] in capsys.readouterr().err
    assert not (folder / "a.txt").exists()


def test_a_listing_is_asked_for_once(site: Site, tmp_path: Path, run: Any) -> None:
    on_the_hub(site, {"a.txt": text_of(STORIES), "b.txt": text_of(STORIES)})
    site.pages["/datasets/them/toys/resolve/c0ffee/b.txt"].content = b""  # not to be had today
    row = row_of(Source(hub="them/toys", pattern="*.txt"))
    assert run(row) == 2
    moved = site.pages.pop("/api/datasets/them/toys/revision/main?blobs=true")
    assert moved
    site.pages["/datasets/them/toys/resolve/c0ffee/b.txt"] = Page(text_of(STORIES), {"ETag": '"2"'})
    assert run(row) == 0  # the same files, though the repository has gone on


def test_a_file_that_was_changed_here_is_noticed_and_left(
    site: Site, tmp_path: Path, run: Any, capsys: Any
) -> None:
    site.pages["/a.txt"] = Page(text_of(STORIES))
    row = row_of(Source(url=site.url + "/a.txt"))
    assert run(row) == 0
    place = tmp_path / "data" / "toys" / "a.txt"
    place.write_bytes(b"mine")
    assert run(row) == 2
    assert "It is left as it is: move it away" in capsys.readouterr().err
    assert place.read_bytes() == b"mine"


def test_damaged_pins_are_named(site: Site, tmp_path: Path, run: Any, capsys: Any) -> None:
    folder = tmp_path / "data" / "toys"
    folder.mkdir(parents=True)
    (folder / "pins.json").write_text("{")
    assert run(row_of(Source(url=site.url + "/a.txt"))) == 2
    assert "pins.json is damaged" in capsys.readouterr().err


# ---------------------------------------------------------------------------- without a network


def test_offline_says_what_goes_where_and_what_to_do_without_it(
    tmp_path: Path, run: Any, capsys: Any
) -> None:
    nowhere = "http://127.0.0.1:9/a.txt"  # the discard port: nobody listens
    row = row_of(
        Source(url=nowhere, bytes=len(text_of(STORIES)), sha256=hashlib.sha256(text_of(STORIES)).hexdigest())
    )
    assert run(row) == 2
    said = capsys.readouterr().err
    place = tmp_path / "data" / "toys" / "a.txt"
    assert "no connection" in said
    assert f"{nowhere}\n    -> {place}" in said
    assert "make toy" in said
    place.write_bytes(text_of(STORIES)[:-1])
    assert run(row) == 2
    assert "is not what it should be" in capsys.readouterr().err
    place.write_bytes(text_of(STORIES))
    assert run(row) == 0
    assert read_corpus(Store(tmp_path / "artifacts").open("toys", "Corpus")).num_documents("train") > 50


def test_where_asked_for_other_text_stands_in_and_gives_way_to_the_real_one(
    tmp_path: Path, run: Any, capsys: Any
) -> None:
    digest = hashlib.sha256(text_of(STORIES)).hexdigest()
    nowhere = Source(url="http://127.0.0.1:9/a.txt", bytes=len(text_of(STORIES)), sha256=digest)
    row = row_of(nowhere, stand_in="python -m shared.corpora.make --megabytes 0.1 --name other")
    assert run(row, "--stand-in") == 0
    said = capsys.readouterr().out
    assert "no connection" in said
    assert "stands in for it" in said
    store = Store(tmp_path / "artifacts")
    assert store.open("toys", "Corpus").config["kind"] == "stories"
    assert "other" not in store.names("Corpus")
    place = tmp_path / "data" / "toys" / "a.txt"
    place.write_bytes(text_of(STORIES)[:-1])
    assert run(row, "--stand-in") == 2  # wrong bytes are no missing network
    place.write_bytes(text_of(STORIES))
    assert run(row, "--stand-in") == 0
    assert store.open("toys", "Corpus").config["dataset"] == "toys"


def test_files_put_by_hand_stand_for_a_listing_that_cannot_be_had(
    tmp_path: Path, run: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "HUB", "http://127.0.0.1:9")
    row = row_of(Source(hub="them/toys", pattern="a/*.txt"))
    assert run(row) == 2
    assert f"a/*.txt of https://example.org\n    -> {tmp_path}/data/toys/a/*.txt" in capsys.readouterr().err
    (tmp_path / "data" / "toys" / "a").mkdir()
    (tmp_path / "data" / "toys" / "a" / "0.txt").write_bytes(text_of(STORIES))
    assert run(row) == 0
    assert "taken as they lie" in capsys.readouterr().out


def test_a_login_that_is_wanted_is_said(site: Site, run: Any, capsys: Any) -> None:
    on_the_hub(site, {"a.txt": b"x"})
    site.faults = ["", "401"]
    assert run(row_of(Source(hub="them/toys", pattern="a.txt"), gated=True)) == 2
    said = capsys.readouterr().err
    assert "answered 401" in said
    assert "want a login: accept their terms at https://example.org" in said


def test_the_folder_of_test_data_serves_files_whose_digest_fits(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "real" / "toys").mkdir(parents=True)
    (tmp_path / "real" / "toys" / "a.txt").write_bytes(text_of(STORIES))
    monkeypatch.setenv("LM_TEST_DATA", str(tmp_path / "real"))
    nowhere = "http://127.0.0.1:9/a.txt"
    assert run(row_of(Source(url=nowhere, sha256="0" * 64))) == 2
    assert "no connection" in capsys.readouterr().err
    assert run(row_of(Source(url=nowhere))) == 2  # of unknown digest: it could be anything
    assert f"--kind text --path {tmp_path}/real/toys --name toys" in capsys.readouterr().err
    assert run(row_of(Source(url=nowhere, sha256=hashlib.sha256(text_of(STORIES)).hexdigest()))) == 0


# ---------------------------------------------------------------------------- listings of others


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"sha": "1", "siblings": [{}]}', b"<html>", b"\xff"]
)
def test_a_listing_that_is_none_is_named(site: Site, content: bytes) -> None:
    site.pages["/api/datasets/them/toys/revision/main?blobs=true"] = Page(content)
    with pytest.raises(DataError, match=r"is not the listing|is damaged"):
        remote_files(row_of(Source(hub="them/toys", pattern="*.txt")))


@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/a.txt", "x/../../a.txt", ".lock", "a\nb.txt", "pins.json", "b.part"]
)
def test_names_that_would_leave_the_folder_are_refused(site: Site, name: str) -> None:
    on_the_hub(site, {name: b"x"})
    with pytest.raises(ConfigError, match="cannot be the name"):
        remote_files(row_of(Source(hub="them/toys", pattern="/".join("*" * (name.count("/") + 1)))))


def test_plain_names() -> None:
    assert is_plain_name("sample/10BT/000_00000.parquet")
    assert not is_plain_name("a/" * 200 + "b")


# ---------------------------------------------------------------------------- kills, and two at once


def child(site: Site, tmp_path: Path, *arguments: str) -> list[str]:
    """The command line of a process that fetches the data set `toys` of the site."""
    script = str(Path(__file__).with_name("data_child.py"))
    return [sys.executable, script, site.url, str(tmp_path), *arguments]


def test_a_kill_at_any_moment_leaves_nothing_wrong(site: Site, tmp_path: Path) -> None:
    content = text_of([random.Random(seed).randbytes(3000).hex() for seed in range(40)])
    site.pages["/a.txt"] = Page(content)
    done = subprocess.run(
        child(site, tmp_path, "kills"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] >= 15  # as many moments as there are operations on files
    assert report["wrong"] == []
    assert any(
        range.startswith("bytes=") for range in site.ranges("/a.txt")
    )  # it went on, not from the start


def test_two_at_once_fetch_it_once(site: Site, tmp_path: Path) -> None:
    site.pages["/a.txt"] = Page(text_of(STORIES))
    both = [
        subprocess.Popen(
            child(site, tmp_path, "once"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert site.ranges("/a.txt") == [""]
    assert read_corpus(Store(tmp_path / "artifacts").open("toys", "Corpus")).num_documents("train") > 50
