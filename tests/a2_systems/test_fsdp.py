"""Fully sharded data parallelism: the numbers of one process, from a share of its parameters."""

import itertools

import pytest
import torch

from tests.a2_systems.sharded import (
    ATOL,
    EACH,
    STEPS,
    Model,
    batch_of,
    loss_of,
    trainable,
    trained,
    trained_alone,
)
from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.ranks import on_ranks


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_steps_are_those_of_one_process(adapters, ranks, optimizer):
    def train(rank):
        model = adapters.get_fsdp(Model(seed=rank))
        losses = trained(adapters, model, rank, optimizer)
        return {"losses": losses, "full": adapters.fsdp_gather_full_params(model)}

    alone = Model(seed=0)
    losses = trained_alone(alone, ranks, optimizer)
    wanted = {name: p.detach() for name, p in alone.named_parameters()}
    for rank, found in enumerate(on_ranks(ranks, train)):
        case = f"rank {rank} of {ranks}, {optimizer}, {EACH} examples on each; each made its module from another seed"
        expect_equal(
            sorted(found["full"]),
            sorted(wanted),
            what="full parameters have the names that they have in the unwrapped module",
            why="a checkpoint of several ranks is read on one",
            case=case,
        )
        for name, want in wanted.items():
            expect_close(
                found["full"][name],
                want,
                what=f"{STEPS} steps on several ranks end where {STEPS} steps on one process over all examples do",
                why="this is what data parallelism promises, sharded or not: more devices, the same model",
                case=f"{name}; {case}",
                atol=ATOL,
            )
        expect_close(
            found["losses"],
            losses[rank],
            what="each rank's loss is that of its examples in the model of one process",
            why="also frozen parameters, buffers and keywords of the forward pass decide it",
            case=case,
            atol=ATOL,
        )


@pytest.mark.parametrize("ranks", [2, 3])
def test_two_layers_may_share_a_matrix(adapters, ranks):
    def train(rank):
        model = adapters.get_fsdp(Model(seed=0, is_tied=True))
        is_tied = model.module.head.weight is model.module.table.weight
        trained(adapters, model, rank, "sgd")
        return {"is tied": is_tied, "full": adapters.fsdp_gather_full_params(model)}

    alone = Model(seed=0, is_tied=True)
    trained_alone(alone, ranks, "sgd")
    for rank, found in enumerate(on_ranks(ranks, train)):
        expect(
            found["is tied"],
            what="a matrix that two layers share is sharded once, and both have the shard",
            why="two copies drift apart: the tie is gone, and nothing says so",
            counterexample="model.module.head.weight is not model.module.table.weight",
        )
        for name, want in alone.named_parameters():
            expect_close(
                found["full"].get(name),
                want.detach(),
                what="a matrix that two layers share gets the gradients of both",
                why="the table of embeddings that also makes the logits is the largest matrix of a small model",
                case=f"{name}, rank {rank} of {ranks}, {STEPS} steps",
                atol=ATOL,
            )


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_each_rank_has_its_share(adapters, ranks):
    def looks(rank):
        module = Model(seed=0)
        kinds = {name: type(part) for name, part in module.named_modules()}
        model = adapters.get_fsdp(module)
        expect(
            getattr(model, "module", None) is module,
            what="the wrapped module itself is `.module`",
            why="checkpoints, evaluation and the next wrapper reach the model through it",
        )
        loss_of(model, rank, 0).backward()
        adapters.fsdp_on_after_backward(model, torch.optim.SGD(trainable(model), lr=0.1))
        given = {id(p) for p in model.parameters()}
        return {
            "classes": [
                name for name, kind in kinds.items() if not isinstance(module.get_submodule(name), kind)
            ],
            "sizes": {name: p.numel() for name, p in module.named_parameters()},
            "given": all(id(p) in given for p in module.parameters()),
            "fits": [
                name
                for name, p in model.named_parameters()
                if p.requires_grad
                and (p.grad is None or p.grad.shape != p.shape or {p.dtype, p.grad.dtype} != {torch.float32})
            ],
            "copies": {
                name: p.grad for name, p in module.named_parameters() if p.ndim == 1 and p.grad is not None
            },
        }

    shapes = {name: p.shape for name, p in Model(seed=0).named_parameters()}
    everywhere = on_ranks(ranks, looks)
    for rank, found in enumerate(everywhere):
        case = f"rank {rank} of {ranks}"
        expect_equal(
            found["classes"],
            [],
            what="modules keep their classes: what is done, is done in place",
            why="whoever looks for Linear layers (adapters, quantization, initialization) still has to find them",
            case=case,
        )
        expect(
            found["given"],
            what="model.parameters() are the parameters of the module",
            why="the optimizer is built from them before the first forward pass",
            case=case,
        )
        expect_equal(
            found["fits"],
            [],
            what="after the backward pass every parameter that is trained has a gradient of its own shape, in float32",
            why="the optimizer works on what this rank has",
            case=case,
        )
        expect_equal(
            sorted(found["sizes"]),
            sorted(shapes),
            what="the module's parameters keep their names",
            why="groups of an optimizer, and checkpoints, go by name",
            case=case,
        )
        for name, grad in everywhere[0]["copies"].items():
            if found["sizes"][name] == everywhere[0]["sizes"][name] == shapes[name].numel():
                expect_equal(
                    found["copies"][name],
                    grad,
                    what="what all ranks hold has the same gradient on all ranks, to the last bit",
                    why="copies that are updated differently drift apart",
                    case=f"{name}, {case}",
                )
    for name, shape in shapes.items():
        sizes = [found["sizes"][name] for found in everywhere]
        case = f"{name} of shape {tuple(shape)}, on {ranks} ranks"
        if len(shape) < 2:
            expect_equal(
                sizes,
                [shape.numel()] * ranks,
                what="vectors stay whole on every rank",
                why="a message costs a latency, whatever it carries",
                case=case,
            )
            continue
        most = -(-shape[0] // ranks) * shape[1]
        expect(
            max(sizes) <= most and sum(sizes) >= shape.numel(),
            what="every rank has its share of each matrix that is the weight of a leaf, and no more",
            why="that a model fits on many devices which fits on none is all that this is for",
            counterexample=f"elements by rank {sizes}; wanted at most {most}, together {shape.numel()} or more",
            case=case,
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_layers_compute_in_the_compute_dtype_on_float32_masters(adapters, dtype):
    rate = 1e-5  # steps far below what a weight in half precision could take

    def train(rank):
        seen = []
        module = Model(seed=0)
        block = module.blocks[1]
        block.register_forward_pre_hook(lambda layer, args: seen.append(str(args[0].dtype)))
        model = adapters.get_fsdp(module, dtype)
        before = adapters.fsdp_gather_full_params(model)
        update = torch.optim.SGD(trainable(model), lr=rate)
        logits = model(batch_of(rank, 0)[0], scale=2.0)
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), batch_of(rank, 0)[1].flatten()
        ).backward()
        adapters.fsdp_on_after_backward(model, update)
        update.step()
        after = adapters.fsdp_gather_full_params(model)
        return {
            "logits": str(logits.dtype),
            "kept": sorted({str(p.dtype) for p in model.parameters()}),
            "before": before,
            "moved": {name: (before[name] - after[name]) / rate for name in before},
        }

    alone = Model(seed=0)
    sum(loss_of(alone, rank, 0) for rank in range(2)).div(2).backward()
    for rank, found in enumerate(on_ranks(2, train)):
        case = f"{dtype}, rank {rank} of 2"
        expect_equal(
            [found["logits"], found["kept"]],
            [str(dtype), ["torch.float32"]],
            what="the last layer's result is in compute_dtype, and what the optimizer has in float32",
            why="products in half precision are what is fast; masters in half precision swallow small steps",
            case=case,
        )
        for name, parameter in alone.named_parameters():
            expect_equal(
                found["before"][name],
                parameter.detach(),
                what="the full parameters are those that came, in float32, not rounded to compute_dtype",
                why="a checkpoint that is rounded is another model than the one that is trained",
                case=f"{name}, {case}",
            )
            want = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            # Eight bits through seven layers: a few hundredths of the largest gradient, which is 0.3. The step is read
            # off weights of size 1 that are rounded at 6e-8, so 6e-3 by a rate of 1e-5.
            expect_close(
                found["moved"][name],
                want,
                what="a step too small for half precision moves the masters, by the gradient",
                why="late in training all steps are small",
                case=f"{name}, SGD, lr {rate}, {case}; (before - after) / lr against the gradient of one process",
                atol=0.03,
            )


def test_gradients_add_up_over_two_backward_passes(adapters):
    def accumulated(rank):
        found = []
        for is_averaged_between in (False, True):
            model = adapters.get_fsdp(Model(seed=0))
            update = torch.optim.SGD(trainable(model), lr=1.0)
            before = adapters.fsdp_gather_full_params(model)
            for step in range(2):
                loss_of(model, rank, step).backward()
                if step or is_averaged_between:
                    adapters.fsdp_on_after_backward(model, update)
            update.step()
            after = adapters.fsdp_gather_full_params(model)
            found.append({name: before[name] - after[name] for name in before})
        return found

    alone = Model(seed=0)
    for rank, step in itertools.product(range(3), range(2)):
        (loss_of(alone, rank, step) / 3).backward()
    for rank, found in enumerate(on_ranks(3, accumulated)):
        for moved, how in zip(found, ("after the second only", "after each"), strict=True):
            for name, parameter in alone.named_parameters():
                expect_close(
                    moved[name],
                    torch.zeros_like(parameter) if parameter.grad is None else parameter.grad,
                    what="two backward passes before a step give the mean over ranks of the sum of both",
                    why="large batches are made of small ones; a part that is lost or counted twice still goes down",
                    case=f"{name}, rank {rank} of 3, fsdp_on_after_backward {how}",
                    atol=ATOL,
                )


@pytest.mark.parametrize("ranks", [(1, 2), (3, 2), (2, 4)], ids=lambda ranks: f"{ranks[0]} to {ranks[1]}")
def test_full_parameters_go_on_with_another_number_of_ranks(adapters, ranks):
    first, second = ranks

    def begin(rank):
        model = adapters.get_fsdp(Model(seed=0))
        trained(adapters, model, 0, "sgd", range(2))
        full = adapters.fsdp_gather_full_params(model)
        kept = {name: tensor.clone() for name, tensor in full.items()}
        trained(adapters, model, 0, "sgd", range(2, 3))
        return {"full": kept, "is copy": all(torch.equal(full[name], kept[name]) for name in kept)}

    def go_on(rank, full):
        module = Model(seed=7)
        module.load_state_dict(full, strict=False)
        module.shift.copy_(Model(seed=0).shift)
        model = adapters.get_fsdp(module)
        trained(adapters, model, 0, "sgd", range(2, 3))
        return adapters.fsdp_gather_full_params(model)

    alone = Model(seed=0)
    trained_alone(alone, 1, "sgd")
    began = on_ranks(first, begin)
    expect(
        all(found["is copy"] for found in began),
        what="full parameters are copies: the next step does not change them",
        why="a checkpoint is written while training goes on",
        case=f"{first} ranks",
    )
    for rank, found in enumerate(on_ranks(second, go_on, began[-1]["full"])):
        for name, parameter in alone.named_parameters():
            expect_close(
                found[name],
                parameter.detach(),
                what="full parameters load into an unwrapped module, from which any number of ranks goes on",
                why="the cluster of the second half of a run is seldom that of the first",
                case=f"{name}, rank {rank}: 2 steps on {first} ranks, one on {second}, the same examples on all",
                atol=ATOL,
            )
