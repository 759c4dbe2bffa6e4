"""FSDP: the numbers of one process, from a share of the memory, with the messages that it takes and no others."""

import gc
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from torch import nn, optim
from torch.utils.checkpoint import checkpoint

from a2_systems.parallel.fsdp import FSDP
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.errors import ConfigError
from tests.harness.ranks import Collectives, on_ranks
from tests.units.a2_systems.ranked_training import (
    OPTIMIZERS,
    Small,
    batch_of,
    loss_of,
    trained_alone,
)

# Float32 sums of the ranks' gradients are taken in another order than that of one process: an ulp (1e-7 relative) a
# step. An eps of 1e-2 bounds what AdamW makes of it where a gradient is next to nothing.
RTOL, ATOL = 1e-5, 1e-6
TIED = ("", "two_layers", "read")
GATHER, REDUCE = "allgather_base", "reduce_scatter_base"


def trained(rank: int, model: nn.Module, make_optimizer, steps: int = 3) -> FSDP:
    fsdp = FSDP(model)
    optimizer = make_optimizer(fsdp.parameters())
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(fsdp, batch_of(step, rank)).backward()
        fsdp.finish_gradient_synchronization()
        optimizer.step()
    return fsdp


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_ranks_come_to_the_parameters_of_one_process(ranks):
    def each_kind(rank: int) -> dict[str, torch.Tensor]:
        found = {}
        for tied in TIED:
            for name, make in OPTIMIZERS.items():
                torch.manual_seed(rank)  # rank 0's start must become everyone's
                for key, value in trained(rank, Small(tied), make).full_parameters().items():
                    found[f"{tied}/{name}/{key}"] = value
        return found

    everywhere = on_ranks(ranks, each_kind)
    for tied in TIED:
        for name, make in OPTIMIZERS.items():
            torch.manual_seed(0)
            alone = Small(tied)
            trained_alone(alone, make(alone.parameters()), ranks)
            for key, wanted in alone.named_parameters():
                for found in everywhere:
                    torch.testing.assert_close(
                        found[f"{tied}/{name}/{key}"], wanted.detach(), rtol=RTOL, atol=ATOL
                    )


def test_each_rank_holds_its_rows_and_nothing_else_between_layers():
    sizes = {"first": (64, 33), "second": (41, 64), "third": (48, 41)}

    def watched(rank: int) -> dict[str, object]:
        layers = nn.Sequential(*(nn.Linear(sizes[name][1], sizes[name][0], bias=False) for name in sizes))
        fsdp = FSDP(layers)
        gc.collect()
        shards = [parameter.numel() for parameter in fsdp.parameters()]
        at_once: list[int] = []
        for layer in layers:
            layer.register_forward_hook(lambda *_: at_once.append(living()))
        start = living()
        loss = fsdp(torch.full((1, 33), 0.1)).sum()
        after_forward = living()
        loss.backward()
        fsdp.finish_gradient_synchronization()
        fsdp.zero_grad()
        return {
            "shards": shards,
            "more after forward": after_forward - start,
            "more after backward": living() - start,
            "most": max(at_once) - start,
        }

    whole = [rows * columns for rows, columns in sizes.values()]
    for ranks in (2, 3):
        for rank, found in enumerate(on_ranks(ranks, watched)):
            wanted = []
            for rows, columns in sizes.values():
                per_rank = -(-rows // ranks)
                wanted.append(max(0, min(per_rank, rows - rank * per_rank)) * columns)
            assert found["shards"] == wanted
            # Activations of one row of numbers are far smaller than any matrix.
            assert found["more after forward"] < 200
            assert found["more after backward"] < 200
            padding = 64 * (ranks - 1)
            assert found["most"] < max(a + b for a, b in pairwise(whole)) + 2 * padding + 200


def living() -> int:
    """Numbers in the memory of all tensors that there are."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() // 4
        for tensor in gc.get_objects()
        if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    }
    return sum(storages.values())


def test_messages_in_number_bytes_and_order():
    # Five layers of distinct sizes: a message's bytes tell whose it is.
    widths = [2, 4, 8, 16, 32, 64]

    def watched(rank: int, dtype: torch.dtype | None) -> list[tuple[str, int]]:
        layers = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(widths)))
        fsdp = FSDP(layers, dtype)
        with Collectives() as collectives:
            for which, layer in enumerate(layers):
                layer.register_forward_hook(lambda *_, which=which: collectives.mark(f"end of {which}"))
            loss = fsdp(torch.ones(1, 2)).float().sum()
            collectives.mark("backward")
            loss.backward()
            fsdp.finish_gradient_synchronization()
        return collectives.calls

    sizes = [4 * a * b for a, b in pairwise(widths)]
    calls = on_ranks(2, watched, None)[1]
    forward = calls[: calls.index(("backward", 0))]
    assert [size for name, size in forward if name == GATHER] == sizes
    for which in range(4):
        # The next layer's matrix is asked for before this one ends, but not before the one before this one has.
        position = forward.index((GATHER, sizes[which + 1]))
        assert position < forward.index((f"end of {which}", 0))
        assert which == 0 or position > forward.index((f"end of {which - 1}", 0))
    backward = calls[len(forward) + 1 :]
    assert [size for name, size in backward if name == GATHER] == sizes[::-1]
    assert [size for name, size in backward if name == REDUCE] == sizes[::-1]
    for which in range(1, 5):
        assert backward.index((GATHER, sizes[which - 1])) < backward.index((REDUCE, sizes[which]))
        assert which == 4 or backward.index((GATHER, sizes[which - 1])) > backward.index(
            (REDUCE, sizes[which + 1])
        )
    assert len(backward) == 10, "five gathers and five reductions; there is nothing else to send"

    halved = on_ranks(2, watched, torch.bfloat16)[0]
    assert [size for name, size in halved if name == GATHER] == [s // 2 for s in (*sizes, *sizes[::-1])]
    assert [size for name, size in halved if name == REDUCE] == sizes[::-1], "sums are taken in float32"


def test_gradients_add_up_over_two_backward_passes():
    def accumulated(rank: int) -> list[list[torch.Tensor]]:
        found = []
        for each_time in (False, True):
            torch.manual_seed(0)
            fsdp = FSDP(Small("two_layers"))
            for step in range(2):
                loss_of(fsdp, batch_of(step, rank)).backward()
                if each_time or step == 1:
                    fsdp.finish_gradient_synchronization()
            for parameter in fsdp.parameters():
                if parameter.grad is not None:
                    assert (parameter.grad.shape, parameter.grad.dtype) == (parameter.shape, parameter.dtype)
            with torch.no_grad():
                for parameter in fsdp.parameters():
                    parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
            found.append(list(fsdp.full_parameters().values()))
        return found

    torch.manual_seed(0)
    alone = Small("two_layers")
    torch.stack([loss_of(alone, batch_of(s, r)) for s in range(2) for r in range(3)]).mean().mul(2).backward()
    for found in on_ranks(3, accumulated):
        for kind in found:
            for got, parameter in zip(kind, alone.parameters(), strict=True):
                wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                torch.testing.assert_close(got, wanted, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_may_be_computed_again_in_the_backward_pass(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 5)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 5)) for _ in range(2)
            )
            self.head = nn.Linear(5, 7)
            self.again = True

        def forward(self, ids):
            features = self.table(ids)
            for block in self.blocks:
                features = (
                    checkpoint(block, features, use_reentrant=reentrant) if self.again else block(features)
                )
            return self.head(features)

    def both(rank: int) -> list[list[torch.Tensor]]:
        found = []
        for again in (True, False):
            torch.manual_seed(0)
            model = Checkpointed()
            model.again = again
            found.append(list(trained(rank, model, OPTIMIZERS["sgd"], 2).full_parameters().values()))
        return found

    again, plain = on_ranks(2, both)[1]
    for got, wanted in zip(again, plain, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)  # the same sums in the same order


def test_full_parameters_load_into_another_number_of_ranks():
    torch.manual_seed(5)
    start = {name: p.detach() for name, p in Small("two_layers").named_parameters()}

    def loaded(rank: int) -> dict[str, torch.Tensor]:
        fsdp = FSDP(Small("two_layers"))
        fsdp.load_full_parameters(start)
        fsdp.module(batch_of(0, rank))  # the module itself may be called as well
        with torch.no_grad():
            loss_of(fsdp, batch_of(0, rank))
        whole = torch.arange(35.0).view(7, 5)  # as a moment of an optimizer would be
        table = fsdp.module.table.weight
        part = fsdp.shard_like(table, whole)
        assert part.shape == table.shape
        assert torch.equal(fsdp.full_like(table, part), whole)
        assert list(fsdp.full_parameters()) == [
            name.removeprefix("module.") for name, _ in fsdp.named_parameters()
        ]
        with pytest.raises(ConfigError, match=r"missing: \['up.bias'\]"):
            fsdp.load_full_parameters({name: value for name, value in start.items() if name != "up.bias"})
        with pytest.raises(ConfigError, match=r"up.bias has shape \(2,\); wanted \(6,\)"):
            fsdp.load_full_parameters({**start, "up.bias": torch.zeros(2)})
        with pytest.raises(ConfigError, match="one tied parameter"):
            fsdp.load_full_parameters({**start, "head.weight": torch.zeros(7, 5)})
        return fsdp.full_parameters()

    for ranks in (1, 2, 3):
        for found in on_ranks(ranks, loaded):
            assert all(torch.equal(found[name], start[name]) for name in start)


def test_clipping_sees_the_norm_of_all_ranks_together():
    def clipped(rank: int) -> dict[str, object]:
        torch.manual_seed(0)
        fsdp = FSDP(Small())
        loss_of(fsdp, batch_of(0, rank)).backward()
        fsdp.finish_gradient_synchronization()
        bounds = [fsdp.clip_gradients(max_norm).item() for max_norm in (1e6, 0.1, 1.0)]
        small = [p.grad for name, p in fsdp.named_parameters() if ".norm." in name]
        return {"norms": bounds, "small": small}

    torch.manual_seed(0)
    alone = Small()
    torch.stack([loss_of(alone, batch_of(0, rank)) for rank in range(3)]).mean().backward()
    norm = nn.utils.clip_grad_norm_(alone.parameters(), 0.1).item()
    for found in on_ranks(3, clipped):
        assert found["norms"] == pytest.approx([norm, norm, 0.1], rel=1e-4)  # eps is 1e-5 of a norm of 0.1
        for got, parameter in zip(found["small"], (alone.norm.weight, alone.norm.bias), strict=True):
            torch.testing.assert_close(got, parameter.grad, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("tied", [False, True])
def test_the_transformer_of_stage_1_trains_the_same(tied):
    basics = door("a1_basics")
    config = ModelConfig(11, 8, 12, 2, 2, 10, tied_embeddings=tied)

    def on_each(rank: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(rank)
        model = basics.build_model(config)
        make = basics.get_adamw_cls()
        return trained(rank, model, lambda params: make(params, lr=1e-2, eps=1e-2)).full_parameters()

    torch.manual_seed(0)
    alone = basics.build_model(config)
    trained_alone(alone, basics.get_adamw_cls()(alone.parameters(), lr=1e-2, eps=1e-2), 2)
    for found in on_ranks(2, on_each):
        for name, wanted in alone.named_parameters():
            torch.testing.assert_close(found[name], wanted.detach(), rtol=RTOL, atol=ATOL)


def test_half_precision_computes_in_layers_and_keeps_float32_masters():
    def on_each(rank: int) -> dict[str, object]:
        torch.manual_seed(0)
        basics = door("a1_basics")
        fsdp = FSDP(basics.build_model(ModelConfig(11, 8, 12, 2, 2, 10)), torch.bfloat16)
        optimizer = optim.SGD(fsdp.parameters(), lr=1e-5)
        before = fsdp.full_parameters()
        logits = fsdp(batch_of(0, rank))
        logits.float().sum().backward()
        fsdp.finish_gradient_synchronization()
        optimizer.step()
        after = fsdp.full_parameters()
        dtypes = {p.dtype for p in fsdp.parameters()} | {
            p.grad.dtype for p in fsdp.parameters() if p.grad is not None
        }
        moved = max((after[name] - before[name]).abs().max().item() for name in before)
        dist.barrier()
        return {"logits": str(logits.dtype), "dtypes": [str(d) for d in dtypes], "moved": moved}

    for found in on_ranks(2, on_each):
        assert found["logits"] == "torch.bfloat16"
        assert found["dtypes"] == ["torch.float32"]
        assert 0 < found["moved"] < 1e-2  # steps far below what bfloat16 weights could take


def test_a_parameter_that_only_some_ranks_use_is_averaged_with_zeros():
    class Either(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.nobodys = (nn.Parameter(torch.ones(2)) for _ in range(3))

        def forward(self, rank: int) -> torch.Tensor:
            return (rank + 1) * (self.a if rank == 0 else self.b).sum()

    def gradients(rank: int) -> list[list[float] | None]:
        fsdp = FSDP(Either())
        fsdp(rank).backward()
        fsdp.finish_gradient_synchronization()
        return [None if p.grad is None else p.grad.tolist() for p in fsdp.parameters()]

    assert on_ranks(2, gradients) == [[[0.5, 0.5], [1.0, 1.0], None]] * 2


def test_waiting_is_measured(monkeypatch):
    """On a clock of our own that moves only while a message is waited for."""
    from a2_systems.parallel import fsdp_weight, replicas

    def measured(rank: int) -> list[float]:
        now = [0.0]
        monkeypatch.setattr(replicas.time, "perf_counter", lambda: now[0])

        def slow(collective):
            def started(*args, **kwargs):
                work = collective(*args, **kwargs)
                wait = work.wait if work is not None else None

                class Work:
                    def wait(self):
                        now[0] += 1.0
                        wait()

                return Work()

            return started

        monkeypatch.setattr(fsdp_weight, "all_gather", slow(fsdp_weight.all_gather))
        monkeypatch.setattr(fsdp_weight, "reduce_scatter", slow(fsdp_weight.reduce_scatter))
        model = FSDP(nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)))
        found = [model.exposed_seconds]
        for _ in range(2):
            with torch.no_grad():
                model(torch.ones(1, 2))  # an evaluation is no part of the step
            model(torch.ones(1, 2)).sum().backward()
            model.finish_gradient_synchronization()
            found.append(model.exposed_seconds)
        return found

    # two matrices, each gathered for the forward and for the backward pass, and two gradients
    assert on_ranks(2, measured) == [[0.0, 6.0, 6.0]] * 2
