"""What a newcomer can get wrong with stage 1's programs: each ends with status 2 and words that name the mend."""

import errno
import io
import json
import os
from pathlib import Path

import pytest

from a1_basics.configs import ENCODE, EVALUATE_LM, GENERATE, LADDER_RUNS, TRAIN_LM, TRAIN_TOKENIZER
from a1_basics.run import encode, evaluate_lm, generate, ladder, learning_rate, train_lm, train_tokenizer
from a1_basics.studies import LEARNING_RATE
from shared.corpora import fetch, make
from shared.doors.protocols import ModelConfig
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import write_checkpoint, write_corpus

PROGRAMS = {
    make: make.PRESETS,
    train_tokenizer: TRAIN_TOKENIZER,
    encode: ENCODE,
    train_lm: TRAIN_LM,
    evaluate_lm: EVALUATE_LM,
    generate: GENERATE,
    ladder: LADDER_RUNS,
    learning_rate: LEARNING_RATE,
    fetch: fetch.PRESETS,
}
SENTENCE = "The cat sat on the mat and looked at the moon. "


@pytest.fixture
def prepared(run):
    """A corpus, a tokenizer and shards, all called 'toy'."""
    Path("text.txt").write_text(SENTENCE * 400, encoding="utf-8")
    assert run(make, "--kind", "text", "--path", "text.txt")[0] == 0
    assert run(train_tokenizer, "--vocab-size", 270)[0] == 0
    assert run(encode)[0] == 0
    return run


@pytest.mark.parametrize("program", [train_tokenizer, encode, train_lm, evaluate_lm, generate])
def test_a_missing_artifact_is_named_with_the_command_that_makes_it(run, program):
    status, said = run(program)
    assert status == 2
    assert "python -m" in said
    assert "Traceback" not in said


def test_a_missing_artifact_of_a_similar_name_is_suggested(prepared):
    status, said = prepared(encode, "--corpus", "toyy")
    assert status == 2
    assert "toy" in said.replace("toyy", "")


@pytest.mark.parametrize("content", [b"", b"  \n\n"])
def test_an_empty_corpus_is_refused(run, content):
    Path("empty.txt").write_bytes(content)
    status, said = run(make, "--kind", "text", "--path", "empty.txt")
    assert status == 2
    assert "empty.txt" in said


def test_text_that_is_not_there_is_named(run):
    status, said = run(make, "--kind", "text", "--path", "nowhere.txt")
    assert status == 2
    assert "nowhere.txt" in said


def test_invalid_utf8_is_named_by_file_and_offset_and_can_be_replaced(run):
    Path("bad.txt").write_bytes(b"0123456789" + b"\xff" + SENTENCE.encode() * 20)
    status, said = run(make, "--kind", "text", "--path", "bad.txt")
    assert status == 2
    assert "bad.txt" in said
    assert "10" in said
    assert "--errors=replace" in said
    assert run(make, "--kind", "text", "--path", "bad.txt", "--errors=replace")[0] == 0


def test_a_vocabulary_below_bytes_and_specials_is_refused_with_the_least_size(prepared):
    status, said = prepared(train_tokenizer, "--vocab-size", 256)
    assert status == 2
    assert "257" in said


def test_special_tokens_must_close_documents(prepared):
    status, said = prepared(train_tokenizer, "--special-tokens", "<|pad|>")
    assert status == 2
    assert "<|endoftext|>" in said


def test_a_context_longer_than_the_shards_is_refused_with_both_sizes(prepared):
    status, said = prepared(train_lm, "--preset", "tiny", "--model.context-length", 100_000)
    assert status == 2
    assert "100000" in said
    assert "--model.context-length" in said


def test_a_vocabulary_smaller_than_the_shards_is_refused_with_the_flag(prepared):
    status, said = prepared(train_lm, "--preset", "tiny", "--model.vocab-size", 260)
    assert status == 2
    assert "--model.vocab-size 270" in said


def test_a_schedule_out_of_order_is_refused(prepared):
    status, said = prepared(train_lm, "--preset", "tiny", "--warmup-steps", 100, "--steps", 10)
    assert status == 2
    assert "warmup_steps=100" in said


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--model.num-heads", 5), "--model.num-heads 4"),
        (("--model.num-heads", 0), "--model.num-heads 0 must be at least 1"),
        (("--model.num-heads", 4, "--model.num-kv-heads", 3), "--model.num-kv-heads must divide 4"),
        (("--model.head-dim", 15), "even width"),
        (("--model.d-ff", -8), "--model.d-ff -8 must be at least 1"),
        (("--model.context-length", 0), "--model.context-length 0 must be at least 1"),
        (("--evaluate-batches", 0), "--evaluate-batches 0 must be at least 1"),
        (("--checkpoint-every-steps", -1), "--checkpoint-every-steps -1 must be at least 0"),
        (("--keep-checkpoints", 0), "--keep-checkpoints 0 must be at least 1"),
        (("--microbatches", 0), "--microbatches 0 must be at least 1"),
        (("--batch-size", 8, "--microbatches", 3), "cannot be cut into 3 equal microbatches"),
        (("--seed", -1), "--seed -1 must be at least 0"),
        (("--max-learning-rate", "nan"), "--max-learning-rate nan must be at least 0"),
        (("--beta2", 1.0), "--beta2 1.0 must lie in [0, 1)"),
        (("--clip-norm", 0), "--clip-norm 0.0 must be above 0"),
    ],
)
def test_a_job_that_cannot_work_is_refused_before_the_first_step(prepared, flags, wanted):
    status, said = prepared(train_lm, "--preset", "tiny", "--steps", 2, "--warmup-steps", 1, *flags)
    assert status == 2
    assert wanted in said
    assert list(Path("runs").iterdir()) == []  # nothing was begun


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--model.num-heads", 5), "cannot be shared by 5 heads"),
        (("--microbatches", 0), "--microbatches 0 must be at least 1"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(prepared, flags, wanted):
    status, said = prepared(train_lm, "--preset", "tiny", "--dry-run", *flags)
    assert status == 2
    assert wanted in said


def test_ids_of_another_tokenizer_are_refused(prepared):
    assert prepared(train_lm, "--preset", "tiny", "--steps", 2, "--warmup-steps", 1)[0] == 0
    assert prepared(train_tokenizer, "--vocab-size", 265, "--name", "other")[0] == 0
    assert prepared(encode, "--tokenizer", "other", "--name", "other")[0] == 0
    status, said = prepared(evaluate_lm, "--shards", "other")
    assert status == 2
    assert "a1_basics.run.encode" in said


def test_a_full_disk_is_an_error_with_a_mend_and_leaves_nothing_half_done(prepared, monkeypatch):
    class FullDisk(io.FileIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real_open = Path.open

    def no_space(self, mode="r", *arguments, **options):
        if self.suffix == ".bin" and "w" in mode:
            return FullDisk(self, mode)
        return real_open(self, mode, *arguments, **options)

    assert prepared(train_tokenizer, "--vocab-size", 265, "--name", "other")[0] == 0
    monkeypatch.setattr(Path, "open", no_space)
    status, said = prepared(encode, "--tokenizer", "other", "--name", "full")
    monkeypatch.undo()
    assert status == 2
    assert "no space left on the disk; free some" in said
    assert "full" not in Store("artifacts").names("Shards")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--temperature", -1), "temperature"),
        (("--top-k", 0), "top_k"),
        (("--top-p", 2), "top_p"),
        (("--max-new-tokens", 0), "max_new_tokens"),
    ],
)
def test_impossible_sampling_is_refused(run, flags, word):
    status, said = run(generate, *flags)
    assert status == 2
    assert word in said


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_help_is_worth_reading_and_unknown_flags_find_their_neighbour(run, program, capsys):
    assert run_program(program.main, PROGRAMS[program], argv=["--help"]) == 0
    text = capsys.readouterr().out
    assert "--name" in text
    assert "--preset" in text
    status, said = run(program, "--nane", "x")
    assert status == 2
    assert "name" in said


def test_a_dry_run_counts_and_touches_nothing(run, capsys):
    assert run_program(train_lm.main, TRAIN_LM, argv=["--dry-run"]) in (0,)
    assert not any(Path().iterdir())


def test_a_checkpoint_without_its_fields_is_refused(prepared):
    store = Store("artifacts")
    tokenizer, shards = store.open("toy", "Tokenizer"), store.open("toy", "Shards")
    parents = {"tokenizer": tokenizer.digest, "shards": shards.digest}
    with store.draft("Checkpoint", config={}, parents=parents, name="odd") as draft:
        write_checkpoint(draft, ModelConfig(270, 8, 8, 1, 1, 8), {})
        record = json.loads((draft.path / "model.json").read_text())
        (draft.path / "model.json").write_text(json.dumps(record | {"num_dreams": 3}))
    status, said = prepared(generate, "--checkpoint", "odd")
    assert status == 2
    assert "num_dreams" in said


def test_a_corpus_without_validation_is_refused_before_training(prepared):
    store = Store("artifacts")
    with store.draft("Corpus", config={}, parents={}, name="lonely") as draft:
        write_corpus(draft, {"train": [SENTENCE * 50]})
    assert prepared(encode, "--corpus", "lonely", "--name", "lonely")[0] == 0
    status, said = prepared(train_lm, "--preset", "tiny", "--shards", "lonely")
    assert status == 2
    assert "val" in said


OF_TEXT = ("--kind", "text", "--path", "text.txt")
TINY = ("--preset", "tiny", "--steps", 2, "--warmup-steps", 1)


@pytest.mark.parametrize(
    ("program", "flags", "words"),
    [
        (make, (*OF_TEXT, "--store", "file"), ["file is no folder", "--store"]),
        (make, (*OF_TEXT, "--store", "link"), ["link is no folder", "--store"]),
        (train_lm, (*TINY, "--runs", "file"), ["file is no folder", "--runs"]),
        (fetch, ("--dataset", "tinystories", "--data", "file"), ["file is no folder", "--data"]),
        (encode, ("--store", "file"), ["file is no folder", "--store"]),
        (make, (*OF_TEXT, "--name", "a/b"), ["'a/b' cannot name an artifact", "use letters"]),
        (train_lm, (*TINY, "--name", "a/b"), ["'a/b' cannot name an artifact", "use letters"]),
        (train_lm, ("--preset", "tinny"), ["did you mean 'tiny'"]),
        (train_lm, ("--steps", "many"), ["--steps", "--help"]),
        (train_lm, (*TINY, "--device", "gpu"), ["device 'gpu'", "--device auto"]),
        (train_lm, (*TINY, "--precision", "fp8"), ["precision 'fp8'", "float32, bfloat16"]),
        (train_lm, (*TINY, "--init", "base"), ["no Checkpoint called 'base'", "a1_basics.run.train_lm"]),
        (train_tokenizer, ("--impl", "mine"), ["IMPL=mine", "./mine/adapters.py"]),
        (train_tokenizer, ("--impl", "./mine"), ["no adapters file there", "IMPL=<folder>"]),
        (train_tokenizer, ("--impl", "learner"), ["make learn STAGE=a1_basics"]),
        (encode, ("--tokenizer", "text"), ["no Tokenizer called 'text'", "a1_basics.run.train_tokenizer"]),
        (make, ("--kind", "text"), ["--path=FILE_OR_DIRECTORY"]),
        (make, ("--kind", "text", "--path", "empty"), ["no text in 'empty'", "another --path"]),
        (make, ("--kind", "text", "--path", "utf16.txt"), ["UTF-16LE", "iconv -f UTF-16LE"]),
        (make, ("--megabytes", 0), ["between 0.01"]),
        (fetch, ("--dataset", "tinystorys"), ["did you mean 'tinystories'"]),
        (ladder, ("--rungs", "bigram"), ["there is no rung 'bigram'", "counted bigram"]),
        (learning_rate, ("--preset", "tiny", "--shards", "toy", "--rates", -1), ["must be at least 0"]),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, tuple) else "",
)
def test_a_newcomers_mistake_is_answered_with_its_mend(prepared, program, flags, words):
    Path("file").write_text("no folder", encoding="utf-8")
    Path("link").symlink_to("no/such/place")
    Path("empty").mkdir()
    Path("utf16.txt").write_text(SENTENCE, encoding="utf-16")
    status, said = prepared(program, *flags)
    said = " ".join(said.split())
    assert status == 2, said
    for word in words:
        assert word in said
    assert ".." not in said.replace("...", ""), "a sentence ends once"
    assert not Path("runs").exists() or not any(Path("runs").iterdir()), "nothing was begun"
