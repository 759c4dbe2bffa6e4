"""Parquet, JSON and text, packed or not: the same documents, in bounded memory, and a word about what is not right."""

import gzip
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.corpora import make, records
from shared.corpora.make import MakeCorpus
from shared.corpora.records import read_documents
from shared.errors import ConfigError, DataError
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_corpus

END = "<|endoftext|>"
TEXTS = ["One.\n", "Zwei, äöü €.\n\nMore.", "셋", " four"]


def as_jsonl(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"id": n, "text": text}).encode() + b"\n" for n, text in enumerate(texts))


def as_zst(raw: bytes, frames: int = 2) -> bytes:
    zstandard = pytest.importorskip("zstandard", reason="not checked: no zstandard (make setup EXTRAS=data)")
    size = len(raw) // frames + 1  # large files are written as several frames
    parts = [raw[start : start + size] for start in range(0, len(raw), size)]
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


def as_parquet(texts: list[str], group: int = 2) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="not checked: no pyarrow (make setup EXTRAS=data)")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    table = pyarrow.table({"id": list(range(len(texts))), "text": texts})
    parquet.write_table(table, buffer, row_group_size=group)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[list[str]], bytes]] = {
    "a.jsonl": as_jsonl,
    "a.jsonl.gz": lambda texts: gzip.compress(as_jsonl(texts)),
    "a.jsonl.zst": lambda texts: as_zst(as_jsonl(texts)),
    "a.json": lambda texts: json.dumps([{"text": text} for text in texts]).encode(),
    "a.parquet": as_parquet,
    "a.txt": lambda texts: END.join(texts).encode(),
    "a.txt.gz": lambda texts: gzip.compress(END.join(texts).encode()) + gzip.compress(END.encode()),
    "a.txt.zst": lambda texts: as_zst(END.join(texts).encode()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WRITERS[name](TEXTS))
    assert list(read_documents([tmp_path / name])) == TEXTS


def test_files_follow_one_another(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.txt"):
        (tmp_path / name).write_bytes(WRITERS["a" + name[1:]](TEXTS))
    assert list(read_documents([tmp_path / "b.txt", tmp_path / "a.jsonl"])) == TEXTS * 2


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.txt.gz", "a.txt.zst", "a.parquet"])
def test_a_file_that_was_cut_is_noticed_wherever_it_was(tmp_path: Path, name: str) -> None:
    plain = as_jsonl(TEXTS * 20) if "jsonl" in name else END.join(TEXTS * 20).encode()
    pack = {
        ".gz": gzip.compress,
        ".zst": lambda raw: as_zst(raw, frames=1),
        ".parquet": lambda _: as_parquet(TEXTS),
    }
    whole = pack[Path(name).suffix](plain)
    for end in range(1, len(whole), max(1, len(whole) // 23)):
        (tmp_path / name).write_bytes(whole[:end])
        with pytest.raises(DataError, match="damaged or was cut short"):
            list(read_documents([tmp_path / name]))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b'{"text": "a"}\nno json\n', "line 2, is not JSON"),
        (b'{"text": "a"}\n["b"]\n', "line 2, is JSON, but no record"),
        (
            b'{"text": "a"}\n\n{"body": "b", "id": 1}\n',
            "record 1, has no text in the field 'text'; it has: body, id",
        ),
        (b'{"text": 3}\n', "has no text in the field"),
        (b"\xff\xfe", "is not JSON"),
    ],
)
def test_records_that_are_none_are_named(tmp_path: Path, content: bytes, wanted: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=wanted):
        list(read_documents([tmp_path / "a.jsonl"]))


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(as_parquet(TEXTS))
    with pytest.raises(DataError, match="no column 'body'; it has: id, text"):
        list(read_documents([tmp_path / "a.parquet"], field="body"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.json"])
def test_what_is_no_document_is_left_out_and_told(tmp_path: Path, name: str) -> None:
    told: Counter[str] = Counter()
    texts = ["good", "", " \n", "good too"]
    if name != "a.txt":
        texts += [f"with {END} inside", "\ud800"]
    (tmp_path / name).write_bytes(WRITERS[name](texts))
    found = list(read_documents([tmp_path / name], drop=lambda reason, what: told.update([reason])))
    assert found == ["good", "good too"]
    assert told["blank document"] == 2
    assert sum(told.values()) == len(texts) - 2


@pytest.mark.parametrize("name", ["wiki.txt", "wiki.jsonl", "wiki.txt.gz"])
def test_lines_are_put_together_to_articles_at_their_headings(tmp_path: Path, name: str) -> None:
    first = " = Fox = \n \n The fox = an animal . \n \n = = Life = = \n \n It lives . \n"
    second = " = 1 + 1 = \n \n Two . \n"
    lines = f" \n{first} \n{second}".splitlines(keepends=True)
    raw = as_jsonl(lines) if name == "wiki.jsonl" else "".join(lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    pattern = r"^ = [^=\s].* = $"
    found = list(read_documents([tmp_path / name], document_start=pattern))
    assert [text.strip() for text in found] == [first.strip(), second.strip()]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), max_size=20))
@settings(max_examples=50)
def test_any_text_comes_back_from_records(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    file = tmp_path_factory.mktemp("any") / "a.jsonl.gz"
    file.write_bytes(gzip.compress(as_jsonl(texts)))
    wanted = [text for text in texts if text and not text.isspace() and END not in text]
    assert list(read_documents([file])) == wanted


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.txt.gz", "a.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    peaks = []
    for count in (4_000, 16_000):
        texts = [f"{number} " + "many words " * 50 for number in range(count)]
        (tmp_path / name).write_bytes(WRITERS[name](texts) if name != "a.parquet" else as_parquet(texts, 500))
        del texts
        tracemalloc.start()
        assert sum(1 for _ in read_documents([tmp_path / name])) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + (1 << 20), peaks  # four times the text; a chunk more or less


@pytest.mark.parametrize("package", ["pyarrow", "zstandard"])
def test_a_missing_package_is_named_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    file = tmp_path / ("a.parquet" if package == "pyarrow" else "a.jsonl.zst")
    file.write_bytes(b"x")
    with pytest.raises(ConfigError, match=rf"needs the package {package}: make setup EXTRAS=data"):
        list(read_documents([file]))


# ---------------------------------------------------------------------------- as a Corpus


def test_records_of_your_own_become_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    texts = [f"Document {number}.\n" for number in range(100)]
    (tmp_path / "in" / "a.jsonl").write_bytes(as_jsonl(texts[:50]).replace(b'"text"', b'"body"'))
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(
        gzip.compress(as_jsonl(texts[50:]).replace(b'"text"', b'"body"'))
    )
    (tmp_path / "in" / "README.md").write_text("about")
    settings: dict[str, Any] = {"path": str(tmp_path / "in"), "name": "mine", "store": tmp_path / "store"}
    make.main(MakeCorpus(kind="records", field="body", **settings))
    corpus = read_corpus(Store(tmp_path / "store").open("mine", "Corpus"))
    assert sorted([*corpus.documents("train"), *corpus.documents("val")]) == sorted(texts)
    assert "left out: 1 (format that is not read)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--kind", "records"], "needs --path"),
        (["--kind", "text", "--path", "x", "--field", "body"], "has no --field"),
        (["--kind", "records", "--path", __file__], "in no format that is read here"),
        (["--kind", "records", "--path", str(Path(__file__).parent)], "there is no file to read"),
    ],
)
def test_settings_that_cannot_work_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str
) -> None:
    assert run_program(make.main, make.PRESETS, argv=[*arguments, "--store", str(tmp_path)]) == 2
    assert wanted in capsys.readouterr().err


def test_a_line_without_an_end_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_LINE_BYTES", 1000)
    (tmp_path / "a.jsonl").write_bytes(b"{" * 5000)
    with pytest.raises(DataError, match="is longer than 1,000 bytes"):
        list(read_documents([tmp_path / "a.jsonl"]))
