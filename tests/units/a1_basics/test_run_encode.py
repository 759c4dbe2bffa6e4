"""Encoding files in parts: whatever the parts, the ids are those of the documents one by one."""

import dataclasses
import multiprocessing
import os
import random
import shutil
import signal

import numpy as np
import pytest

from a1_basics.configs import Encode, TrainTokenizer
from a1_basics.run import encode as encode_program
from a1_basics.run import train_tokenizer
from a1_basics.run.encode import PartEncoder, parts
from a1_basics.tokenizers import bpe, bpe_fast
from shared.errors import ArtifactError, ContractError
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, read_shards, read_tokenizer, write_corpus


@pytest.mark.parametrize("part_bytes", [1, 7, 100, 10_000])
@pytest.mark.parametrize("module", [bpe, bpe_fast], ids=["one by one", "in batches"])
def test_parts_of_a_file_encode_as_its_documents_do(tmp_path, module, part_bytes):
    rng = random.Random(part_bytes)
    documents = [
        "".join(rng.choices(["low ", "er", "é", "\n", "", "한국"], k=rng.randint(0, 30))) for _ in range(40)
    ]
    path = tmp_path / "train.txt"
    path.write_text("".join(document + DOCUMENT_END for document in documents), encoding="utf-8", newline="")
    tokenizer = module.Tokenizer(*bpe.train_bpe(path, 280, [DOCUMENT_END]), [DOCUMENT_END])
    encode = PartEncoder(tokenizer, 256)
    encoded = [encode(part) for part in parts(path, 0, path.stat().st_size, part_bytes)]
    wanted = [i for document in documents for i in [*tokenizer.encode(document), 256]]
    assert np.concatenate([ids for ids, _ in encoded]).tolist() == wanted
    assert sum(num_bytes for _, num_bytes in encoded) == len("".join(documents).encode())


class WithABatchOfTheirOwn(bpe.Tokenizer):
    """A learner's tokenizer, whose `encode_batch` gives what most people's does: a list for each text."""

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]


class LyingEndToEnd(bpe.Tokenizer):
    def __init__(self, answer):
        super().__init__({i: bytes([i]) for i in range(256)}, [], [])
        self.answer = answer

    def encode_end_to_end(self, texts):
        ids, ends = self.answer
        return np.array(ids), np.array(ends)


def two_documents(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(f"ab{DOCUMENT_END}cd{DOCUMENT_END}")
    return next(parts(path, 0, path.stat().st_size))


def test_a_method_of_the_same_name_is_not_taken_for_ours(tmp_path):
    tokenizer = WithABatchOfTheirOwn({i: bytes([i]) for i in range(256)}, [], [])
    ids, _ = PartEncoder(tokenizer, 256)(two_documents(tmp_path))
    assert ids.tolist() == [97, 98, 256, 99, 100, 256]


@pytest.mark.parametrize(
    "answer",
    [([[97, 98], [99, 100]], [2, 4]), ([97, 98, 99, 100], [4]), ([97], [4, 2]), ([97, 98, 99, 100], [2, 3])],
    ids=["a row for each text", "an end too few", "ends out of order", "ids after the last end"],
)
def test_ids_that_are_not_end_to_end_are_refused(tmp_path, answer):
    with pytest.raises(ContractError, match="for 2 texts"):
        PartEncoder(LyingEndToEnd(answer), 256)(two_documents(tmp_path))


def test_a_file_without_its_last_marker_is_refused(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(f"a{DOCUMENT_END}b")
    tokenizer = bpe_fast.Tokenizer({i: bytes([i]) for i in range(256)}, [], [DOCUMENT_END])
    with pytest.raises(ArtifactError, match="does not end with"):
        PartEncoder(tokenizer, 256)(next(parts(path, 0, path.stat().st_size)))


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A store with a corpus of many tasks and its tokenizer, and the settings that encode it."""
    monkeypatch.setattr(encode_program, "TASK_BYTES", 2000)
    monkeypatch.setattr(encode_program, "PART_BYTES", 500)
    monkeypatch.setattr(encode_program, "PARALLEL_FROM_BYTES", 0)
    rng = random.Random(0)
    splits = {
        split: ["".join(rng.choices(["low ", "er", "é", "\n"], k=rng.randint(1, 60))) for _ in range(count)]
        for split, count in {"train": 400, "val": 40}.items()
    }
    store = Store(tmp_path / "artifacts")
    with store.draft("Corpus", config={}, parents={}, name="c") as draft:
        write_corpus(draft, splits)
    train_tokenizer.main(TrainTokenizer(corpus="c", name="t", vocab_size=270, store=store.root))
    settings = Encode(corpus="c", tokenizer="t", name="s", store=store.root, runs=tmp_path / "runs")
    return store, splits, settings


def one_by_one(store, documents):
    files = read_tokenizer(store.open("t"))
    tokenizer = bpe.Tokenizer(files.vocab, files.merges, [DOCUMENT_END])
    return [i for document in documents for i in [*tokenizer.encode(document), files.end_of_text_id]]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_shards_hold_the_documents_in_order_and_nothing_else_stays(corpus, num_workers):
    store, splits, settings = corpus
    encode_program.main(dataclasses.replace(settings, num_workers=num_workers))
    shards = read_shards(store.open("s"))
    for split, documents in splits.items():
        assert shards.tokens(split)[:].tolist() == one_by_one(store, documents)
        assert shards.num_bytes(split) == len("".join(documents).encode())
    assert list(settings.runs.iterdir()) == []


class KilledBefore:
    """An encoder whose process is killed as it begins the n-th part."""

    def __init__(self, encode_part, part):
        self.encode_part, self.left = encode_part, part

    def __call__(self, part):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return self.encode_part(part)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not checked: this platform cannot fork")
def test_a_killed_run_goes_on_from_the_tasks_that_it_finished(corpus, monkeypatch):
    store, _, settings = corpus
    settings = dataclasses.replace(settings, num_workers=1)
    again = dataclasses.replace(settings, store=store.root.parent / "again")
    shutil.copytree(store.root, again.store)
    encode_program.main(settings)

    plain = encode_program.EncodeTask
    context = multiprocessing.get_context("fork")

    def doomed():
        monkeypatch.setattr(
            encode_program, "EncodeTask", lambda corpus, part: plain(corpus, KilledBefore(part, 11))
        )
        encode_program.main(again)

    child = context.Process(target=doomed)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    [directory] = again.runs.iterdir()
    finished = {path.name: path.stat().st_ino for path in directory.iterdir() if path.name[0] != "."}
    assert finished

    encoded_bytes = []
    monkeypatch.setattr(
        encode_program,
        "EncodeTask",
        lambda corpus, part: plain(corpus, lambda each: encoded_bytes.append(each.start) or part(each)),
    )
    encode_program.main(again)
    assert Store(again.store).open("s").digest == store.open("s").digest
    assert encoded_bytes[0] > 0, "the second run began at the first byte again"
