"""Checkpoints: what is written comes back, training goes on as if nothing had happened, and loading runs no code.

Models and optimizers here are torch's own or built in this file: a checkpoint must hold any of them.
"""

import copy
import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.harness.explain import expect, expect_equal


class Model(nn.Module):
    """Matrices, vectors, a buffer that training changes, and one parameter that is frozen."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, 2)
        self.frozen = nn.Parameter(torch.full((2,), 0.5), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x)))) * self.frozen


def build(seed: int, kind: str = "adamw", width: int = 4):
    torch.manual_seed(seed)
    model = Model(width)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2 and p.requires_grad]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": rest, "weight_decay": 0.0}]
    if kind == "adamw":
        return model, torch.optim.AdamW(groups, lr=0.05, betas=(0.8, 0.95), eps=1e-6)
    return model, torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)


def train(model, optimizer, steps) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1000 + step))
        for group in optimizer.param_groups:
            group["lr"] = 0.05 / (1 + step)
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def weights(model) -> dict[str, np.ndarray]:
    return {name: tensor.detach().clone().numpy() for name, tensor in model.state_dict().items()}


def memory(optimizer) -> dict[str, object]:
    """The optimizer's state in plain values: what it remembers of each parameter, and the groups' settings."""
    state = optimizer.state_dict()
    remembered = {
        f"{index}.{name}": value.numpy().copy() if isinstance(value, torch.Tensor) else value
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
    groups = [dict(group) for group in state["param_groups"]]
    return {"state": remembered, "groups": groups}


def save(adapters, model, optimizer, iteration, out) -> None:
    adapters.run_save_checkpoint(model=model, optimizer=optimizer, iteration=iteration, out=out)


def load(adapters, src, model, optimizer) -> int:
    return adapters.run_load_checkpoint(src=src, model=model, optimizer=optimizer)


def saved_bytes(adapters, model, optimizer, iteration=7) -> bytes:
    file = io.BytesIO()
    save(adapters, model, optimizer, iteration, file)
    return file.getvalue()


@pytest.mark.parametrize("target", ["str", "Path", "BytesIO", "open file"])
def test_paths_and_files_both_work(adapters, tmp_path, target):
    model, optimizer = build(1)
    train(model, optimizer, range(2))
    path = tmp_path / "checkpoint.pt"
    other, fresh = build(2)
    why = "a checkpoint goes to a disk, into a socket or an object store; torch.save and torch.load take all of them"
    if target == "BytesIO":
        file = io.BytesIO()
        save(adapters, model, optimizer, 12345, file)
        expect(
            not file.closed,
            what="a file that the caller opened stays open",
            why="whoever opened it closes it, and may want to write or read more",
            counterexample="the BytesIO is closed after saving",
        )
        file.seek(0)
        iteration = load(adapters, file, other, fresh)
    elif target == "open file":
        with path.open("wb") as file:
            save(adapters, model, optimizer, 12345, file)
        with path.open("rb") as file:
            iteration = load(adapters, file, other, fresh)
    else:
        place = str(path) if target == "str" else path
        save(adapters, model, optimizer, 12345, place)
        expect(
            path.is_file(),
            what="the checkpoint is written to exactly the path that was given",
            why=why,
            counterexample=f"found {sorted(p.name for p in tmp_path.iterdir())}, wanted checkpoint.pt",
        )
        iteration = load(adapters, place, other, fresh)
    expect_equal(
        iteration,
        12345,
        what="loading returns the iteration that was saved, as an int",
        why="the schedule and the data go on from there",
        case=f"out and src given as {target}",
    )
    expect_equal(
        weights(other), weights(model), what="all weights come back, bit for bit", why=why, case=target
    )


def test_buffers_and_dtypes_come_back(adapters):
    model, optimizer = build(1)
    train(model, optimizer, range(3))
    model.last.to(torch.bfloat16)
    other, fresh = build(2)
    other.last.to(torch.bfloat16)
    load(adapters, io.BytesIO(saved_bytes(adapters, model, optimizer)), other, fresh)
    for name, tensor in model.state_dict().items():
        got = other.state_dict()[name]
        expect_equal(
            (str(got.dtype), got.double().numpy()),
            (str(tensor.dtype), tensor.double().numpy()),
            what="parameters and buffers come back in value and dtype",
            why="running averages, tables and counters are part of the model although no optimizer moves them",
            case=f"{name}: {tensor.dtype} of shape {tuple(tensor.shape)}",
        )


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_param_groups_come_back(adapters, kind):
    model, optimizer = build(1, kind)
    train(model, optimizer, range(3))
    optimizer.param_groups[1]["lr"] = 0.125
    other, fresh = build(2, kind)
    for group in fresh.param_groups:
        group.update(lr=9.0, weight_decay=0.7)
    load(adapters, io.BytesIO(saved_bytes(adapters, model, optimizer)), other, fresh)
    expect_equal(
        memory(fresh)["groups"],
        memory(optimizer)["groups"],
        what="every group's settings come back: lr, betas, weight_decay and all others",
        why="a schedule or a person has changed them since the optimizer was made; with the constructor's values "
        "a resumed run goes on at another rate",
        case=f"{kind} with two groups, after 3 steps; loaded into one made with other settings",
    )


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_moments_come_back(adapters, kind):
    model, optimizer = build(1, kind)
    train(model, optimizer, range(3))
    other, fresh = build(2, kind)
    train(other, fresh, range(1))
    load(adapters, io.BytesIO(saved_bytes(adapters, model, optimizer)), other, fresh)
    expect_equal(
        memory(fresh)["state"],
        memory(optimizer)["state"],
        what="what the optimizer remembers of each parameter comes back, whatever the optimizer calls it",
        why="with empty averages the first steps after a resume are as large as at the very beginning: the loss "
        "jumps",
        case=f"{kind}, after 3 steps; loaded into one that has made a step of its own",
    )


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_training_goes_on_exactly(adapters, kind):
    whole, whole_optimizer = build(1, kind)
    train(whole, whole_optimizer, range(8))
    model, optimizer = build(1, kind)
    train(model, optimizer, range(5))
    data = saved_bytes(adapters, model, optimizer, 5)
    train(model, optimizer, range(5, 7))  # what happens after saving is not in the checkpoint
    resumed, fresh = build(3, kind)
    iteration = load(adapters, io.BytesIO(data), resumed, fresh)
    train(resumed, fresh, range(iteration, 8))
    expect_equal(
        weights(resumed),
        weights(whole),
        what="saved after 5 of 8 steps, loaded and continued, training ends where the undisturbed one does",
        why="every long run is interrupted; a resume that changes it makes its results impossible to repeat",
        case=kind,
    )


def test_parameters_stay_the_ones_the_optimizer_holds(adapters):
    model, optimizer = build(1)
    train(model, optimizer, range(2))
    data = saved_bytes(adapters, model, optimizer)
    other, fresh = build(2)
    before = {name: (p, p.data_ptr(), p.requires_grad) for name, p in other.named_parameters()}
    load(adapters, io.BytesIO(data), other, fresh)
    for name, p in other.named_parameters():
        held, address, trains = before[name]
        expect(
            p is held and p.data_ptr() == address,
            what="loading writes into the parameters that are there",
            why="the optimizer holds these very objects: after a swap it goes on moving tensors that the model no "
            "longer uses, and the loss stands still",
            counterexample=f"{name} is another {'tensor' if p is not held else 'memory'} after loading",
        )
        expect(
            p.requires_grad == trains,
            what="loading does not change which parameters train",
            why="freezing is the caller's decision",
            counterexample=f"{name}.requires_grad was {trains} and is {p.requires_grad}",
        )


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


def test_an_optimizer_without_steps_can_be_saved(adapters):
    model, optimizer = build(1)
    other, fresh = build(2)
    iteration = load(adapters, io.BytesIO(saved_bytes(adapters, model, optimizer, 0)), other, fresh)
    expect_equal(
        (iteration, weights(other), memory(fresh)),
        (0, weights(model), memory(optimizer)),
        what="a checkpoint of iteration 0, before the first step, is a checkpoint",
        why="the untrained model is what every curve begins with; and 0 is not 'nothing'",
    )
