"""Text of one's own and Python's library as documents, how they are split, and the program that makes a Corpus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.corpora import make, text
from shared.corpora.make import MakeCorpus, split_text, val_start
from shared.corpora.python_library import python_library
from shared.corpora.stories import story_nats
from shared.corpora.text import text_documents
from shared.errors import ConfigError, DataError
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_corpus

END = "<|endoftext|>"


def documents(path: Path, **settings: str) -> list[str]:
    return list(text_documents(path, **settings))  # type: ignore[arg-type]


# ------------------------------------------------------------------------ reading


@pytest.mark.parametrize("chunk_bytes", [1, 3, 7, 14, 1 << 20])
def test_markers_cut_documents_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(text, "_CHUNK_BYTES", chunk_bytes)
    file = tmp_path / "a.txt"
    wanted = ["one <|endof", "zwei äöü €", "<|", "end\n"]
    file.write_text(END.join(wanted) + END + "  \n", encoding="utf-8")
    assert documents(file) == wanted


def test_byte_order_mark_and_line_ends_make_no_difference(tmp_path: Path) -> None:
    (tmp_path / "unix.txt").write_bytes(b"a\nb\n\nc")
    (tmp_path / "windows.txt").write_bytes("\ufeffa\r\nb\r\n\rc".encode())
    assert documents(tmp_path / "unix.txt") == documents(tmp_path / "windows.txt") == ["a\nb\n\nc"]


def test_bytes_that_are_no_utf8_are_named_by_file_and_offset(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes("ä".encode() + END.encode() + b"ok \xff\xfe more")
    with pytest.raises(
        DataError, match=rf"bad\.txt is not UTF-8 at byte {2 + len(END) + 3} .*--errors=replace"
    ):
        documents(file)
    assert documents(file, errors="replace") == ["ä", "ok \ufffd\ufffd more"]


def test_the_offset_counts_the_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes(b"\xef\xbb\xbfab\xff")
    with pytest.raises(DataError, match="at byte 5 "):
        documents(file)


def test_other_encodings_are_recognized(tmp_path: Path) -> None:
    file = tmp_path / "wide.txt"
    file.write_bytes("\ufeffhello".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"UTF-16LE.*iconv -f UTF-16LE"):
        documents(file)


@pytest.mark.parametrize("content", [b"", b" \n\t", END.encode() * 3, b"\xef\xbb\xbf"])
def test_no_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "empty.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"no text in .*empty\.txt"):
        documents(file)


def test_a_missing_path_and_an_empty_directory_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or directory"):
        documents(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no text"):
        documents(tmp_path)


def test_a_directory_is_read_in_order_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    for name, content in {
        "b/z.md": b"third", "b/a.txt": b"second", "a.txt": b"first", ".git/config": b"no", "b/.hidden": b"no",
        "picture.png": b"\x89PNG\0\0", "blank.txt": b"\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(content)
    dropped: list[tuple[str, str]] = []
    found = list(
        text_documents(tmp_path, drop=lambda reason, what: dropped.append((reason, Path(what).name)))
    )
    assert found == ["first", "second", "third"]
    assert sorted(dropped) == [
        ("binary file", "picture.png"), ("blank document", "blank.txt"), ("hidden file", ".hidden"),
        ("hidden file", "config"),
    ]  # fmt: skip


# ------------------------------------------------------------------------ splitting


def splits_of(texts: list[str]) -> dict[str, list[str]]:
    def read() -> Iterator[str]:
        yield from texts

    return {split: list(parts) for split, parts in split_text(read).items()}


def test_many_documents_are_dealt_out_and_equal_ones_stay_together() -> None:
    texts = [f"document {index % 300}" for index in range(600)]
    splits = splits_of(texts)
    assert sorted(splits["train"] + splits["val"]) == sorted(texts)
    assert not set(splits["train"]) & set(splits["val"])
    assert 20 < len(splits["val"]) < 100  # a tenth of 600, by chance


def test_the_order_of_documents_does_not_decide_where_they_go() -> None:
    texts = [f"document {index}" for index in range(100)]
    assert sorted(splits_of(texts)["val"]) == sorted(splits_of(texts[::-1])["val"])


@pytest.mark.parametrize("count", [1, 2, 39])
def test_few_documents_give_their_last_tenth(count: int) -> None:
    texts = [f"{index}\n" + "some words\n" * 50 for index in range(count)]
    splits = splits_of(texts)
    assert [a + b for a, b in zip(splits["train"], splits["val"], strict=True)] == texts
    for held_out, whole in zip(splits["val"], texts, strict=True):
        assert held_out.startswith("some words\n")
        assert 0.05 < len(held_out) / len(whole) < 0.15


def test_a_text_is_cut_at_a_line_end_else_at_a_space_else_anywhere() -> None:
    assert val_start("line\n" * 20) == 90
    assert val_start("word " * 20) == 90
    assert val_start("x" * 100) == 90
    assert val_start("ab") == 1


# ------------------------------------------------------------------------ Python's library


def test_the_library_is_large_real_text_without_tests_or_installed_packages() -> None:
    dropped: dict[str, list[str]] = {}
    texts = list(python_library(lambda reason, name: dropped.setdefault(reason, []).append(name)))
    assert len(texts) > 300
    assert sum(map(len, texts)) > 4_000_000
    assert sum("def " in text for text in texts) > 200
    assert not any(END in text or not text.strip() for text in texts)
    assert len(dropped["tests"]) > 10
    assert texts == list(python_library())


# ------------------------------------------------------------------------ the program


def test_stories_become_a_corpus_whose_entropy_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.main(MakeCorpus(megabytes=0.05, name="small", store=tmp_path))
    corpus = read_corpus(Store(tmp_path).open("small", "Corpus"))
    assert set(corpus.splits) == {
        "train",
        "val",
        "combinations",
    }
    assert 50_000 <= corpus.num_bytes("train") < 52_000
    texts = list(corpus.documents("val"))
    told_nats = corpus.nats("val")
    assert told_nats is not None
    assert [story_nats(text) for text in texts[:20]] == pytest.approx(list(told_nats[:20]), rel=1e-12)
    assert 0.03 < (corpus.floor_bits_per_byte("train") or 0) < 0.3
    assert "bits per byte" in capsys.readouterr().out
    make.main(MakeCorpus(megabytes=0.05, name="again", store=tmp_path))
    assert "unchanged" in capsys.readouterr().out


def test_the_same_text_elsewhere_is_the_same_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "book.txt").write_text("a line of text\n" * 100)
        path = str(tmp_path / folder / "book.txt")
        make.main(MakeCorpus(kind="text", path=path, name=folder, store=tmp_path / folder / "store"))
        digests.append(Store(tmp_path / folder / "store").open(folder, "Corpus"))
    assert digests[0].digest == digests[1].digest
    assert str(tmp_path) not in json.dumps(digests[0].manifest)
    (tmp_path / "here" / "book.txt").write_text("another line of text\n" * 100)
    make.main(
        MakeCorpus(
            kind="text",
            path=str(tmp_path / "here" / "book.txt"),
            name="here",
            store=tmp_path / "here" / "store",
        )
    )
    assert Store(tmp_path / "here" / "store").open("here", "Corpus").digest != digests[0].digest
    assert "unchanged" not in capsys.readouterr().out


def test_what_was_left_out_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("words\n" * 100)
    (tmp_path / "text" / "b.bin").write_bytes(b"\0\1\2")
    make.main(MakeCorpus(kind="text", path=str(tmp_path / "text"), name="mixed", store=tmp_path / "store"))
    assert re.search(r"left out: 1 \(binary file\), for example .*b\.bin", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--path", "x"], "takes no --path"),
        (["--kind", "text"], "needs --path"),
        (["--kind", "text", "--path", "no/such/file"], "there is no file or directory"),
        (["--megabytes", "0"], "megabytes=0.0"),
    ],
)
def test_settings_that_cannot_work_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str
) -> None:
    status = run_program(make.main, make.PRESETS, argv=[*arguments, "--store", str(tmp_path)])
    assert status == 2
    assert wanted in capsys.readouterr().err


def test_dry_run_says_what_it_would_cost_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run_program(
            make.main, make.PRESETS, argv=["--megabytes", "100", "--dry-run", "--store", str(tmp_path)]
        )
        == 0
    )
    assert "train_bytes" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_config_errors_are_errors_in_code_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        make.main(MakeCorpus(kind="python_library", path="x", store=tmp_path))
