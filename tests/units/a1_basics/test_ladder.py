"""The ladder as a program: every rung in one table, a finished rung not trained again, a stopped one gone on with."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from a1_basics.configs import LADDER_RUNS, LadderRun
from a1_basics.run import ladder
from a1_basics.training.loop import run_language_model
from shared.costs import MACHINES
from shared.errors import ConfigError
from shared.report import ladder as page
from shared.store.artifacts import Store
from shared.store.kinds import (
    ShardWriter,
    read_runs,
    trained_tokenizer,
    write_corpus,
    write_runs,
    write_tokenizer,
)
from tests.units.a1_basics.byte_shards import save_byte_shards

END = "<|endoftext|>"
TEXT = "the cat sat on the mat and the dog sat on the log; " * 40


@pytest.fixture
def config(tmp_path: Path) -> LadderRun:
    """A ladder of seconds, over shards that were written by hand."""
    store = Store(tmp_path / "artifacts")
    characters = sorted(set(TEXT))
    vocab = {index: character.encode() for index, character in enumerate([*characters, END])}
    with store.draft("Corpus", config={}, parents={}, name="ladder") as corpus:
        write_corpus(corpus, {"train": [TEXT], "val": [TEXT[7:300]]})
    parents = {"corpus": corpus.artifact.digest}
    with store.draft("Tokenizer", config={}, parents=parents, name="ladder") as tokenizer:
        write_tokenizer(tokenizer, trained_tokenizer(vocab, [], [END], type="chars"))
    parents |= {"tokenizer": tokenizer.artifact.digest}
    ids = {character: index for index, character in enumerate(characters)}
    with (
        store.draft("Shards", config={}, parents=parents, name="ladder") as shards,
        ShardWriter(shards, len(vocab), len(characters)) as writer,
    ):
        for split, text in (("train", TEXT), ("val", TEXT[7:300])):
            writer.write(
                split, [*(ids[character] for character in text), len(characters)], num_bytes=len(text)
            )
    return LadderRun(
        steps=2,
        d_model=16,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        context_length=16,
        batch_size=2,
        train_tokens=1000,
        evaluate_batches=1,
        prompt_tokens=4,
        sample_tokens=8,
        device="cpu",
        store=store.root,
        runs=tmp_path / "runs",
    )


def few(config: LadderRun, *rungs: str, **changes) -> LadderRun:
    return dataclasses.replace(config, rungs=rungs, **changes)


def test_all_rungs_stand_in_one_table_with_a_curve_and_a_sample(config, capsys):
    ladder.main(config)
    rows, curves = read_runs(Store(config.store).open("ladder", "Runs"))
    assert tuple(row["run"] for row in rows) == ladder.NAMES
    for row in rows:
        assert row["new"]
        assert row["parameters"] > 0
        assert row["prompt"] == TEXT[7:11]
        assert 0 < len(row["sample"]) <= 8
    assert rows[0]["steps"] == 0
    assert {len(curves[row["run"]]) > 1 for row in rows[1:]} == {True}
    assert {row["train_tokens"] for row in rows[1:]} == {2 * 2 * 16}
    assert rows[-1]["optimizer"] == "muon"
    page.main(page.LadderPage(store=config.store))
    text = Store(config.store).open("ladder", "Report").file("index.html").read_text(encoding="utf-8")
    assert all(f"{row['validation_loss_nats']:.3f}" in text for row in rows)
    assert text.count("<article") == len(rows)


def test_the_first_rungs_fall_where_the_text_wants_what_they_bring(config):
    """In "the cat sat on the mat" a letter alone leaves more open than the letters before it do."""
    ladder.main(
        few(config, "counted bigram", "neural bigram", "averaging", "one head", steps=100, batch_size=8)
    )
    rows, _ = read_runs(Store(config.store).open("ladder", "Runs"))
    loss = {row["run"]: row["validation_loss_nats"] for row in rows}
    assert loss["one head"] < loss["averaging"] < loss["neural bigram"]


def test_tokens_that_are_no_characters_are_refused_with_the_command_that_makes_some(config):
    store = Store(config.store)
    save_byte_shards(store, "pieces", TEXT.encode())
    with pytest.raises(ConfigError, match=r"'bpe'.*single characters.*train_tokenizer --kind chars"):
        ladder.main(dataclasses.replace(config, shards="pieces"))
    assert not config.runs.exists()


def test_a_finished_rung_is_not_trained_again(config, monkeypatch):
    ladder.main(few(config, "neural bigram"))
    trained = []

    def counting(job, *arguments, **options):
        trained.append(job.name)
        return run_language_model(job, *arguments, **options)

    monkeypatch.setattr(ladder, "run_language_model", counting)
    ladder.main(few(config, "neural bigram", "averaging"))
    assert trained == ["averaging"]
    ladder.main(few(config, "neural bigram", "averaging"))
    assert trained == ["averaging"]
    ladder.main(few(config, "averaging", steps=3))
    assert trained == ["averaging", "averaging"]


def test_a_rung_that_was_stopped_ends_where_an_undisturbed_one_does(config, monkeypatch, tmp_path):
    """Dropout included: what it drops depends on the seed and the step alone."""
    ladder.main(few(config, "dropout", steps=6))
    expected = read_runs(Store(config.store).open("ladder", "Runs"))[0][0]["validation_loss_nats"]
    again = few(config, "dropout", steps=6, name="again", runs=tmp_path / "other")
    make_step = ladder.reproducible_step

    def stopping(*arguments):
        step = make_step(*arguments)

        def stopped(state, batch):
            if state.steps_done == 3:
                raise KeyboardInterrupt
            return step(state, batch)

        return stopped

    with monkeypatch.context() as patched:
        patched.setattr(ladder, "reproducible_step", stopping)
        patched.setattr(ladder, "already_made", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            ladder.main(again)
        torch.manual_seed(99)  # whatever the global generator did meanwhile
        patched.setattr(ladder, "reproducible_step", make_step)
        ladder.main(again)
    assert any("resumed" in line for line in _sessions(tmp_path / "other"))
    found = read_runs(Store(config.store).open("again", "Runs"))[0][0]["validation_loss_nats"]
    assert found == expected


def _sessions(runs: Path) -> list[str]:
    lines = [line for file in runs.rglob("sessions.jsonl") for line in file.read_text().splitlines()]
    return [line for line in lines if '"resumed_step": null' not in line and "started" in line]


def test_only_the_end_of_the_training_split_is_read(config):
    store = Store(config.store)
    source = store.open("ladder", "Shards")
    whole = ladder.LastTokens(source, ladder.read_shards(source).table)
    last = ladder.LastTokens(source, whole.table, 100)
    assert np.array_equal(last.tokens("train"), whole.tokens("train")[-100:])
    assert np.array_equal(last.tokens("val"), whole.tokens("val"))
    assert len(whole.tokens("train")) == len(TEXT) + 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": ("RmsNorm",)}, "did you mean"),
        ({"d_model": 30}, "d_model=30"),
        ({"num_kv_heads": 3}, "num_kv_heads=3"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(config, changes, said):
    with pytest.raises(ConfigError, match=said):
        ladder.main(dataclasses.replace(config, **changes))


@pytest.mark.parametrize("preset", LADDER_RUNS)
def test_every_preset_can_be_planned(preset):
    found = LADDER_RUNS[preset]
    config = found() if callable(found) else found
    ladder.check(config)
    found = ladder.plan(config)
    assert found["rungs_to_train"] == len(set(config.rungs or ladder.NAMES) - {ladder.COUNTED})
    assert all("$" in found[machine.label] for machine in MACHINES)


def test_the_page_shows_foreign_text_and_does_not_run_it(tmp_path):
    store = Store(tmp_path)
    evil = "<script>alert(1)</script>"
    rows = [
        {
            "run": name,
            "new": evil,
            "parameters": 10,
            "seconds": 61.0,
            "train_tokens": 5,
            "validation_loss_nats": loss,
            "prompt": evil,
            "sample": evil,
            "temperature": 1.0,
        }
        for name, loss in (("first", 3.0), ("second", 2.0), ("third", 2.5))
    ]
    with store.draft("Runs", config={}, parents={}, name="ladder") as draft:
        write_runs(draft, rows, {})
    page.main(page.LadderPage(store=tmp_path))
    report = store.open("ladder", "Report")
    text = report.file("index.html").read_text(encoding="utf-8")
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "-1.000" in text
    assert "+0.500" in text
    assert "1:01" not in text  # measured: in the file beside it, outside the digest
    costs = report.file("measured/cost.js").read_text(encoding="utf-8")
    assert '"seconds-0"' in costs
