"""Result cards: an honest one holds when it is checked again, and every way to fake one that we know is refused."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from a1_basics import adapters
from a1_basics.configs import LeaderboardCard, LeaderboardCheck
from a1_basics.run import leaderboard_card, leaderboard_check
from shared import leaderboard
from shared.corpora.make import MakeCorpus
from shared.corpora.make import main as make_corpus
from shared.corpora.stories import stories
from shared.doors.protocols import Evaluation, ModelConfig, TrainJob
from shared.errors import ArtifactError, ConfigError
from shared.leaderboard import Board, compare, job_of, measure
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    DOCUMENT_END,
    ShardWriter,
    read_checkpoint,
    read_corpus,
    read_result_card,
    read_shards,
    trained_tokenizer,
    write_checkpoint,
    write_corpus,
    write_result_card,
    write_tokenizer,
)

VOCAB = 257  # the bytes and the end-of-text mark
MODEL = ModelConfig(vocab_size=VOCAB, context_length=32, d_model=16, num_layers=1, num_heads=2, d_ff=32)
JOB = TrainJob(
    MODEL,
    "board",
    name="honest",
    steps=8,
    batch_size=4,
    warmup_steps=1,
    precision="float32",
    device="cpu",
    evaluate_every_steps=8,
    evaluate_batches=1,
    checkpoint_every_steps=8,
)
FLOPS = 8 * 4 * 32 * leaderboard.accounting.training_flops_per_token(MODEL, 32)
BOARD = Board(
    "small", "a board for tests", 1.5 * FLOPS, MakeCorpus(), baseline_bits_per_byte=8.0, fresh_bytes=5000
)


def chain(store: Store, name: str, seed: int) -> MakeCorpus:
    """A small corpus of stories as text, a tokenizer of bytes and its shards, all of this name."""
    folder = store.root.parent / f"texts-{seed}"
    folder.mkdir()
    for number, (text, _) in enumerate(stories(seed, 40_000)):
        (folder / f"{number:03}.txt").write_text(text)
    corpus = MakeCorpus(kind="text", path=str(folder), name=name, store=store.root)
    make_corpus(corpus)
    source = store.open(name, "Corpus")
    vocab = {index: bytes([index]) for index in range(256)} | {256: DOCUMENT_END.encode()}
    with store.draft("Tokenizer", config={}, parents={"corpus": source.digest}) as draft:
        write_tokenizer(draft, trained_tokenizer(vocab, [], [DOCUMENT_END]))
    parents = {"corpus": source.digest, "tokenizer": draft.artifact.digest}
    reader = read_corpus(source)
    with (
        store.draft("Shards", config={}, parents=parents, name=name) as shards,
        ShardWriter(shards, VOCAB, 256) as writer,
    ):
        for split in reader.splits:
            for document in reader.documents(split):
                writer.write(split, [*document.encode(), 256], num_bytes=len(document.encode()))
    return corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Store, Board]:
    """A store with a board's shards and one honest entry and its card; tests add fakes and change nothing."""
    folder = tmp_path_factory.mktemp("leaderboard")
    made = Store(folder / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        board = dataclasses.replace(BOARD, corpus=chain(made, "board", seed=0))
        patch.setitem(leaderboard.BOARDS, "small", board)
        adapters.train(job(made))
        leaderboard_card.main(LeaderboardCard("honest", "small", "Ada", "honest", "cpu", store=made.root))
    return made, board


@pytest.fixture
def board(made: tuple[Store, Board], monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setitem(leaderboard.BOARDS, "small", made[1])
    return made[1]


@pytest.fixture
def store(made: tuple[Store, Board], board: Board) -> Store:
    return made[0]


def job(store: Store, **changed: Any) -> TrainJob:
    return dataclasses.replace(JOB, store=store.root, runs=store.root.parent / "runs", **changed)


def forged(store: Store, name: str = "forged", **changed: Any) -> Artifact:
    """The honest checkpoint published again with another config, other parents or other weights."""
    honest = store.open("honest", "Checkpoint")
    model, weights = read_checkpoint(honest)
    config = {**honest.config, **changed.get("config", {})}
    parents = {**honest.parents, **changed.get("parents", {})}
    with store.draft("Checkpoint", config=config, parents=parents, name=name) as draft:
        write_checkpoint(draft, model, {k: changed.get("scale", 1.0) * v for k, v in weights.items()})
        draft.cost_seconds = changed.get("seconds", 1.0)
    return draft.artifact


def card(store: Store, parent: Artifact | None = None, **changed: Any) -> str:
    """A card that claims something else than was measured."""
    honest = store.open("honest", "ResultCard")
    parents = {"checkpoint": parent.digest} if parent else honest.parents
    with store.draft("ResultCard", config={"faked": str(changed)}, parents=parents, name="faked") as draft:
        write_result_card(draft, {**read_result_card(honest), **changed}, "")
    return draft.artifact.digest


def check(store: Store, *cards: str, again: bool = False) -> int:
    return leaderboard_check.main(LeaderboardCheck(cards, again, "cpu", store=store.root))


def test_an_honest_card_holds_and_says_what_was_measured(store, capsys):
    found = read_result_card(store.open("honest", "ResultCard"))
    assert found["train_flops"] == FLOPS
    assert found["train_tokens"] == 8 * 4 * 32
    assert found["floor_bits_per_byte"] is None  # people's text, for all that this corpus says
    shards = read_shards(store.open("board", "Shards"))
    assert (found["tokens"], found["bytes"]) == (shards.num_tokens("val"), shards.num_bytes("val"))
    assert "Ada" in (store.open("honest", "ResultCard").file("card.md")).read_text()
    assert check(store, "honest", again=True) == 0  # trained again: the same weights, bit for bit
    assert "Ada" in capsys.readouterr().out


@pytest.mark.parametrize(
    "claim",
    [
        {"bits_per_byte": 0.1},
        {"nats_per_token": 0.1},
        {"bits_per_byte": "0.1"},
        {"bits_per_byte": None},
        {"train_flops": 1.0},
        {"train_tokens": 1},
        {"parameters": 1},
        {"budget_fraction": 0.01},
        {"floor_bits_per_byte": 0.5},
        {"corpus": "0" * 64},
    ],
    ids=str,
)
def test_a_card_with_another_number_is_refused(claim, store):
    honest = store.open("honest", "Checkpoint")
    found = read_result_card(store.open("honest", "ResultCard"))
    compare(found, found, honest)
    with pytest.raises(ArtifactError, match=next(iter(claim))):
        compare({**found, **claim}, found, honest)


def test_faked_cards_are_refused_by_the_program_and_honest_ones_still_ranked(store, capsys):
    faked = card(store, bits_per_byte=0.1)
    elsewhere = card(store, parent=forged(store, scale=0.5), entrant="Eve")
    assert check(store, faked, "honest", elsewhere) == 2
    said = capsys.readouterr()
    assert said.out.count("✓") == 1
    assert "the card says 0.1" in said.err
    assert "not the one that it descends from" in said.err


def test_a_changed_file_is_refused(store, capsys):
    digest = card(store, entrant="Mallory")
    path = store.open(digest, "ResultCard").file("card.json")
    path.write_text(path.read_text().replace("Mallory", "Malfoy!"))
    assert check(store, digest) == 2
    assert "damaged" in capsys.readouterr().err


def expect_refusal(
    store: Store, checkpoint: Artifact, said: str, board: Board | None = None, parts: Any = adapters
) -> None:
    board = board or leaderboard.BOARDS["small"]
    with pytest.raises(ArtifactError, match=said) as refusal:
        measure(store, checkpoint, board, parts, "cpu")
    assert str(refusal.value).startswith("refused")


def test_more_training_than_the_budget_is_refused(store, board):
    honest = store.open("honest", "Checkpoint")
    expect_refusal(
        store, honest, "times the small board's budget", dataclasses.replace(board, train_flops=0.9 * FLOPS)
    )


def test_training_before_a_warm_start_counts(store):
    longer = store.open(adapters.train(job(store, name="longer", init="honest")), "Checkpoint")
    assert longer.config["steps"] == 8
    expect_refusal(store, longer, "1.33 times")


def test_speed_beyond_the_machine_is_refused(store, board):
    timed = dataclasses.replace(board, train_seconds=60.0)
    measured = forged(store, config={"seed": 2}, seconds=50.0)
    assert measure(store, measured, timed, adapters, "cpu")["train_flops"] == FLOPS
    expect_refusal(
        store, forged(store, config={"seed": 3}, seconds=1.0), "more than the machine can do", timed
    )
    expect_refusal(store, forged(store, config={"seed": 4}, seconds=61.0), "trained for 61 s", timed)


def test_settings_of_another_model_are_refused(store):
    smaller = {"model": {**store.open("honest", "Checkpoint").config["model"], "num_layers": 0}}
    expect_refusal(store, forged(store, config=smaller), "shape")


def test_a_checkpoint_without_settings_is_refused(store):
    expect_refusal(store, forged(store, config={"made_up": 1}), "does not record how it was trained")


def test_another_corpus_is_refused(store):
    chain(store, "other", seed=1)
    expect_refusal(
        store, store.open(adapters.train(job(store, name="other", shards="other")), "Checkpoint"), "corpus is"
    )


def forged_shards(store: Store, train: Any, val: Any, corpus: str | None = None) -> Artifact:
    """Shards that claim the board's tokenizer and corpus, and a checkpoint that claims them."""
    real = store.open("board", "Shards")
    parents = {**real.parents, **({"corpus": corpus} if corpus else {})}
    with store.draft("Shards", config={}, parents=parents) as draft, ShardWriter(draft, VOCAB, 256) as writer:
        writer.write("train", train, num_bytes=1)
        writer.write("val", val, num_bytes=1)
    return forged(store, parents={"shards": draft.artifact.digest})


def test_a_corpus_that_only_claims_to_be_the_boards_is_refused(store):
    real = store.open("board", "Corpus")
    with store.draft("Corpus", config=real.config, parents={}) as draft:
        write_corpus(draft, {"train": ["a"], "val": ["a"]})
    end = read_shards(store.open("board", "Shards")).end_of_text_id
    expect_refusal(store, forged_shards(store, [97, end], [97, end], draft.artifact.digest), "2 Corpus")


@pytest.mark.parametrize("fake", ["easy held-out text", "held-out text among the training text", "shortened"])
def test_shards_that_do_not_spell_the_corpus_are_refused(fake, store):
    shards = read_shards(store.open("board", "Shards"))
    train, val = np.asarray(shards.tokens("train")), np.asarray(shards.tokens("val"))
    end = shards.end_of_text_id
    if fake == "easy held-out text":
        val = np.array([97, end] * 50)
    elif fake == "shortened":
        val = val[: np.flatnonzero(val == end)[3] + 1]
    else:
        train = np.concatenate([train, val])
    expect_refusal(store, forged_shards(store, train, val), "does not spell|ends before")


def test_held_out_text_learned_by_heart_is_refused(store):
    num_val = len(read_shards(store.open("board", "Shards")).tokens("val"))

    def evaluate(model: Any, tokens: np.ndarray, *rest: Any, **more: Any) -> Evaluation:
        return Evaluation(nats=1000.0 if len(tokens) == num_val + 1 else 2000.0, tokens=900, num_bytes=1000)

    knows = SimpleNamespace(
        build_model=adapters.build_model, get_tokenizer=adapters.get_tokenizer, evaluate_model=evaluate
    )
    expect_refusal(
        store, store.open("honest", "Checkpoint"), "trained on what it is measured on", parts=knows
    )


def test_a_loss_that_is_no_number_is_refused(store):
    expect_refusal(store, forged(store, scale=float("nan")), "not a finite number")


def test_training_again_finds_settings_that_were_not_used(store):
    checkpoint = forged(store, config={"seed": 5})
    with pytest.raises(ArtifactError, match="other weights"):
        leaderboard.again(store, checkpoint, adapters, "reference")


def test_unknown_boards_are_named(store):
    with pytest.raises(ConfigError, match="cpu, gpu"):
        leaderboard.board_named("tpu")
    assert job_of(store.open("honest", "Checkpoint")).steps == 8


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_published_boards_can_be_entered(name, tmp_path: Path):
    board = leaderboard.BOARDS[name]
    assert board.corpus.kind == "stories"
    if name == "gpu":  # the whole hour at the peak, and nothing beyond it
        assert board.train_flops / board.train_seconds == 989e12
