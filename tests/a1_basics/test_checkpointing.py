"""Checkpoints: what is written comes back, and training goes on as if nothing had happened."""

import io

import pytest
import torch

from tests.a1_basics.small_training import build, load, memory, save, saved_bytes, train, weights
from tests.harness.explain import expect, expect_equal


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
