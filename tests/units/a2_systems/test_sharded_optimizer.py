"""The sharded optimizer: the numbers of the plain one, a share of its state, and no setting that it misses."""

import io

import pytest
import torch
import torch.distributed as dist
from torch import nn, optim

from a2_systems.parallel.sharded_optimizer import sharded_optimizer
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.errors import ConfigError
from tests.harness.ranks import Collectives, on_ranks
from tests.units.a2_systems.ranked_training import Small, batch_of, loss_of, trained_alone

# The update is the same arithmetic on every parameter; the mean of the ranks' gradients is not: an ulp (1e-7 relative)
# a step. EPS bounds what AdamW makes of it where a gradient is next to nothing and would be divided by its own noise.
EPS = 1e-2
RTOL, ATOL = 1e-5, 1e-6


def average_gradients(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def steps(model: nn.Module, optimizer: optim.Optimizer, which: range, rank: int) -> None:
    for step in which:
        optimizer.zero_grad()
        loss_of(model, batch_of(step, rank)).backward()
        average_gradients(model)
        optimizer.step()


def values(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_ranks_come_to_the_parameters_of_one_process(ranks):
    basics = door("a1_basics")
    config = ModelConfig(11, 8, 12, 2, 2, 10, tied_embeddings=True)
    makes = {
        "torch": (lambda: Small("two_layers"), optim.AdamW),
        "own": (lambda: basics.build_model(config), basics.get_adamw_cls()),
    }

    def on_each(rank: int) -> dict[str, list[torch.Tensor]]:
        found = {}
        for name, (build, optimizer_cls) in makes.items():
            torch.manual_seed(0)
            model = build()
            steps(
                model, sharded_optimizer(model.parameters(), optimizer_cls, lr=0.03, eps=EPS), range(3), rank
            )
            found[name] = values(model)
        return found

    everywhere = on_ranks(ranks, on_each)
    for name, (build, optimizer_cls) in makes.items():
        torch.manual_seed(0)
        alone = build()
        trained_alone(alone, optimizer_cls(alone.parameters(), lr=0.03, eps=EPS), ranks)
        for found in everywhere:
            for got, wanted in zip(found[name], alone.parameters(), strict=True):
                torch.testing.assert_close(got, wanted.detach(), rtol=RTOL, atol=ATOL)


def test_state_bytes_are_those_of_the_owned_parameters():
    shapes = [(30, 7), (5,), (16, 16), (1,), (9, 9), (40, 2), (3, 3, 3)]

    def state_bytes(rank: int) -> int:
        parameters = [nn.Parameter(torch.ones(*shape)) for shape in shapes]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer = sharded_optimizer(parameters, optim.AdamW)
        with Collectives() as collectives:
            optimizer.step()
        sent = 0 if dist.get_world_size() == 1 else 4 * sum(p.numel() for p in parameters)
        assert collectives.sent_bytes("broadcast") == sent
        return sum(v.nbytes for state in optimizer.state.values() for v in state.values())

    sizes = [torch.Size(shape).numel() for shape in shapes]
    for ranks in (1, 2, 3, 4):
        found = on_ranks(ranks, state_bytes)
        # Two moments for each element, and a count of four bytes for each parameter: none twice, none left out.
        assert sum(found) == 8 * sum(sizes) + 4 * len(sizes)
        assert max(found) - min(found) <= 8 * max(sizes) + 4 * len(sizes)
        assert max(found) <= 8 * max(max(sizes), -(-sum(sizes) // ranks) + sorted(sizes)[-2]) + 4 * len(sizes)


def test_settings_of_the_outer_groups_reach_the_update():
    def scheduled(rank: int, sharded: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = Small()
        groups = [
            {"params": list(model.up.parameters()), "weight_decay": 0.5},
            {"params": [model.norm.weight]},
        ]
        optimizer = sharded_optimizer(groups, optim.AdamW, lr=0.1) if sharded else optim.AdamW(groups, lr=0.1)
        optimizer.add_param_group({"params": [model.table.weight, model.frozen.weight], "lr": 0.02})
        scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1.0, 0.3, 0.0, 0.5)[step])
        for step in range(4):
            optimizer.zero_grad()
            loss_of(model, batch_of(step, 0)).backward()
            if step == 2:
                optimizer.param_groups[0]["weight_decay"] = 5.0
                model.norm.weight.grad = None
            optimizer.step()
            if step < 3:
                scheduler.step()
        assert [group["betas"] for group in optimizer.param_groups] == [(0.9, 0.999)] * 3
        return values(model)

    (wanted,) = on_ranks(1, scheduled, False)
    for found in on_ranks(3, scheduled, True):
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_tensor_listed_twice_is_one_and_a_closure_is_called_once():
    def on_each(rank: int) -> dict[str, object]:
        p, q = nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((2,), 3.0))
        optimizer = sharded_optimizer((x for x in (p, q, p)), optim.SGD, lr=1.0)
        calls = []

        def closure() -> torch.Tensor:
            calls.append(1)
            optimizer.zero_grad()
            loss = p.sum() + q.sum()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        return {"p": p.detach(), "q": q.detach(), "loss": loss.item(), "calls": len(calls)}

    for found in on_ranks(2, on_each):
        assert found["p"].tolist() == [0.0] * 3
        assert found["q"].tolist() == [2.0] * 2
        assert (found["loss"], found["calls"]) == (9.0, 1)


def saved(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_training_resumes_from_a_rank_s_part_and_from_a_full_state():
    def resumed(rank: int) -> dict[str, list[torch.Tensor]]:
        found = {}
        for how in ("undisturbed", "part", "full"):
            torch.manual_seed(0)
            model = Small()
            optimizer = sharded_optimizer(model.parameters(), optim.AdamW, lr=0.05)
            steps(model, optimizer, range(2), rank)
            optimizer.param_groups[0]["lr"] = 0.01
            if how != "undisturbed":
                states = [optimizer.state_dict() if how == "part" else optimizer.full_state_dict()]
                if how == "full":
                    dist.broadcast_object_list(states, src=0)  # as through a file
                state = saved(states[0])
                optimizer = sharded_optimizer(model.parameters(), optim.AdamW, lr=9.0)
                optimizer.load_state_dict(state)
            steps(model, optimizer, range(2, 4), rank)
            found[how] = values(model)
        return found

    for ranks in (1, 2, 3):
        for found in on_ranks(ranks, resumed):
            for how in ("part", "full"):
                assert all(torch.equal(a, b) for a, b in zip(found[how], found["undisturbed"], strict=True))


def test_another_number_of_ranks_takes_a_full_state_and_refuses_a_part():
    def trained(rank: int) -> dict[str, object]:
        torch.manual_seed(0)
        model = Small()
        optimizer = sharded_optimizer(model.parameters(), optim.AdamW, lr=0.05)
        for step in range(2):
            optimizer.zero_grad()
            loss_of(model, batch_of(step, 0)).backward()  # the same on all ranks, so that their number is all
            optimizer.step()
        parts = {"part": optimizer.state_dict(), "full": optimizer.full_state_dict()}
        return {**parts, "values": values(model)}

    before = on_ranks(3, trained)
    plain = optim.AdamW(before[0]["values"], lr=1.0)
    plain.load_state_dict(before[0]["full"])  # it is what the unsharded optimizer would have saved
    assert len(plain.state) == len(before[0]["full"]["state"]) == 7

    def resharded(rank: int) -> dict[str, torch.Tensor]:
        model = Small()
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), before[0]["values"], strict=True):
                parameter.copy_(value)
        optimizer = sharded_optimizer(model.parameters(), optim.AdamW, lr=9.0)
        with pytest.raises(ConfigError, match=r"saved with ranks=3.* has ranks=2.*full_state_dict"):
            optimizer.load_state_dict(before[rank]["part"])
        optimizer.load_state_dict(before[0]["full"])
        again = optimizer.full_state_dict()["state"]
        return {f"{i}/{k}": value for i, state in again.items() for k, value in state.items()}

    found, nothing = on_ranks(2, resharded)
    assert not nothing
    for index, state in before[0]["full"]["state"].items():
        assert all(torch.equal(found[f"{index}/{key}"], value) for key, value in state.items())


def test_a_closure_runs_with_gradients_in_an_optimizer_that_does_not_ask_for_them():
    """The public assignment's form of an optimizer: `loss = closure()`, and numbers changed through `.data`."""

    class Descent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):  # type: ignore[override]
            loss = None if closure is None else closure()
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * p.grad.data
            return loss

    def stepped(rank: int) -> list[float]:
        p, q = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(4))
        optimizer = sharded_optimizer([p, q], Descent, lr=1.0)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = 2 * p.sum() + q.sum()
            loss.backward()
            return loss

        return [float(optimizer.step(closure)), p[0].item(), q[0].item()]

    assert on_ranks(2, stepped) == [[10.0, -1.0, 0.0]] * 2
