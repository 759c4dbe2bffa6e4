"""What saving and loading leave alone, what loading refuses, and that it runs no code."""

import copy
import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.a1_basics.small_training import build, load, memory, save, saved_bytes, train, weights
from tests.harness.explain import expect, expect_equal


def test_file_alone_holds_everything(adapters, tmp_path):
    model, optimizer = build(1)
    train(model, optimizer, range(2))
    first, moved = tmp_path / "first.pt", tmp_path / "elsewhere" / "moved.pt"
    save(adapters, model, optimizer, 3, first)
    want = weights(model)
    moved.parent.mkdir()
    first.rename(moved)
    train(model, optimizer, range(2, 4))
    save(adapters, model, optimizer, 4, first)
    left = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    expect_equal(
        left,
        ["first.pt", "moved.pt"],
        what="a checkpoint is one file",
        why="a second file beside it is forgotten when the first is copied to another machine",
    )
    other, fresh = build(2)
    iteration = load(adapters, moved, other, fresh)
    expect_equal(
        (iteration, weights(other)),
        (3, want),
        what="a checkpoint that was moved, after which another was saved in its old place, loads as it was",
        why="what is kept in memory, or under the old name, is gone when the process is",
    )


def test_saving_again_replaces_the_file(adapters, tmp_path):
    path = tmp_path / "latest.pt"
    model, optimizer = build(1, width=64)
    train(model, optimizer, range(1))
    save(adapters, model, optimizer, 1, path)
    small, small_optimizer = build(4, width=2)
    save(adapters, small, small_optimizer, 2, path)
    other, fresh = build(2, width=2)
    expect_equal(
        (load(adapters, path, other, fresh), weights(other)),
        (2, weights(small)),
        what="saving to a path that holds a checkpoint replaces it",
        why="'latest' is written again and again",
        case="a model of width 64, then one of width 2, to the same path",
    )


def test_saving_changes_nothing(adapters):
    model, optimizer = build(1)
    train(model, optimizer, range(2))
    before, remembered = weights(model), copy.deepcopy(memory(optimizer))
    modes = {name: module.training for name, module in model.named_modules()}
    saved_bytes(adapters, model, optimizer)
    why = "the run goes on after saving"
    expect_equal(weights(model), before, what="saving leaves the model as it is", why=why)
    expect_equal(memory(optimizer), remembered, what="saving leaves the optimizer as it is", why=why)
    expect_equal(
        {name: module.training for name, module in model.named_modules()},
        modes,
        what="saving leaves the model in training mode",
        why="dropout that stays off after the first checkpoint trains another model",
    )


def test_random_generators_are_left_alone(adapters):
    def draw() -> list[float]:
        return [torch.rand(1).item(), float(np.random.rand()), random.random()]  # noqa: NPY002

    def seed(number: int) -> None:
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002
        random.seed(number)

    model, optimizer = build(1)
    train(model, optimizer, range(2))
    other, fresh = build(2)
    seed(5)
    want_after_saving = draw()
    seed(5)
    data = saved_bytes(adapters, model, optimizer)
    got_after_saving = draw()
    seed(6)
    want_after_loading = draw()
    seed(6)
    load(adapters, io.BytesIO(data), other, fresh)
    got_after_loading = draw()
    for name, got, want in (
        ("saving", got_after_saving, want_after_saving),
        ("loading", got_after_loading, want_after_loading),
    ):
        expect_equal(
            got,
            want,
            what=f"{name} leaves the global generators of torch, numpy and random where they are",
            why="a run that saves more often would see other batches; whoever wants to restore generators does so "
            "by name",
            case="the next number of each generator, seeded before",
        )


@pytest.mark.parametrize("fault", ["a parameter too many", "a parameter too few", "another shape"])
def test_another_model_is_refused(adapters, fault):
    model, optimizer = build(1)
    data = saved_bytes(adapters, model, optimizer)
    other, fresh = build(2, width=5 if fault == "another shape" else 4)
    if fault == "a parameter too many":
        other.extra = nn.Parameter(torch.zeros(1))
    elif fault == "a parameter too few":
        del other.frozen
    try:
        load(adapters, io.BytesIO(data), other, fresh)
    except Exception:
        return
    expect(
        False,
        what="a checkpoint of another model raises an error",
        why="what is left out keeps its random numbers: the model half-works, and nothing says so",
        counterexample=f"no error, though the model has {fault} for this checkpoint",
    )


class Trap:
    """Unpickling this object would run a command of whoever wrote the file."""

    def __init__(self, path: Path) -> None:
        self.path, self.is_written = path, False

    def __reduce__(self):
        self.is_written = True
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("place", ["the whole file", "the model", "the optimizer", "the iteration"])
def test_loading_runs_no_code(adapters, tmp_path, monkeypatch, place):
    model, optimizer = build(1)
    train(model, optimizer, range(1))
    marker = tmp_path / "this-code-was-run"
    trap = Trap(marker)
    try:
        if place == "the whole file":
            file = io.BytesIO()
            torch.save(trap, file)
            data = file.getvalue()
        elif place == "the iteration":
            data = saved_bytes(adapters, model, optimizer, trap)
        else:
            owner = model if place == "the model" else optimizer
            honest = owner.state_dict()
            key = next(iter(honest))
            monkeypatch.setattr(owner, "state_dict", lambda *a, **k: {**honest, key: trap})
            data = saved_bytes(adapters, model, optimizer)
    except Exception:
        return  # who writes no such file has none to load
    other, fresh = build(2)
    is_refused = False
    try:
        load(adapters, io.BytesIO(data), other, fresh)
    except Exception:
        is_refused = True
    expect(
        not marker.exists(),
        what="loading a checkpoint never runs code that the file brings along",
        why="checkpoints are downloaded and passed on; a pickle is a program, and torch.load runs it unless "
        "weights_only=True",
        counterexample=f"an object that creates a file when it is unpickled stood in {place}, and the file was "
        "created",
    )
    expect(
        is_refused or not trap.is_written,
        what="a file with foreign objects raises an error",
        why="half a checkpoint is none",
        counterexample=f"a foreign object stood in {place}; loading returned as if all were well",
    )
