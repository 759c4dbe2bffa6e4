"""What the tests of data parallelism share: small models with every oddity, and training on one process."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.ranks import on_ranks

# float32: gradients of size 1 are rounded at 1e-7, and once more when the ranks' means are averaged; three steps of SGD
# move by a tenth of that, AdamW divides by the root of a small second moment. Mistakes move weights by 1e-2 and more.
ATOL = {"sgd": 5e-6, "adamw": 5e-5}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0),
}
EACH, STEPS = 3, 3


@dataclass(frozen=True)
class Door:
    """The functions of one data-parallel wrapper."""

    wrap: Callable[[nn.Module], nn.Module]
    after: Callable[[nn.Module, torch.optim.Optimizer], None]
    start: Callable[[nn.Module, torch.optim.Optimizer], None] = lambda model, optimizer: None

    def step(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Callable[[], torch.Tensor]
    ) -> None:
        """One step as a training loop makes it."""
        self.start(model, optimizer)
        optimizer.zero_grad()
        loss_of().backward()
        self.after(model, optimizer)
        optimizer.step()


class Small(nn.Module):
    """Two layers, one weight used twice, a frozen parameter, a buffer, and a keyword that matters."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.last = nn.Linear(4, 4)
        self.last.weight = self.first.weight
        self.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
        self.register_buffer("shift", torch.randn(4))

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        hidden = torch.tanh(self.first(x)) * scale + self.frozen + self.shift
        return self.last(torch.tanh(self.second(hidden)))


class Branches(nn.Module):
    """Three layers of which a batch may use any."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def forward(self, x: torch.Tensor, used: tuple[bool, ...]) -> torch.Tensor:
        return sum((layer(x) for layer, is_used in zip(self.layers, used, strict=True) if is_used), x.sum())


def batch_of(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    return torch.randn(EACH, 4, generator=generator), torch.randn(EACH, 4, generator=generator)


def loss_of(model: nn.Module, rank: int, step: int) -> torch.Tensor:
    x, y = batch_of(rank, step)
    return nn.functional.mse_loss(model(x, scale=2.0), y)


def trained_alone(ranks: int, optimizer: str) -> dict[str, torch.Tensor]:
    model = Small(seed=0)
    update = OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])
    for step in range(STEPS):
        update.zero_grad()
        losses = [loss_of(model, rank, step) for rank in range(ranks)]
        (torch.stack(losses).sum() / ranks).backward()
        update.step()
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def check_start(door: Door) -> None:
    """Parameters, frozen ones too, and buffers are rank 0's; `.module` is the module."""

    def begins(rank: int) -> dict[str, torch.Tensor]:
        module = Small(seed=rank)
        model = door.wrap(module)
        expect(
            getattr(model, "module", None) is module,
            what="the wrapped module itself is `.module`",
            why="checkpoints, evaluation and the next wrapper reach the model through it",
        )
        expect(
            module.last.weight is module.first.weight,
            what="a weight that two layers share is still shared after wrapping",
            why="two copies drift apart: the tie is gone, and nothing says so",
        )
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}

    want = Small(seed=0).state_dict()
    for rank, got in enumerate(on_ranks(3, begins)):
        expect_equal(
            sorted(got),
            sorted(want),
            what="the module's state_dict() has the names that it had",
            why="a checkpoint of several ranks is read on one",
        )
        for name in want:
            expect_equal(
                got[name],
                want[name],
                what="every rank begins with rank 0's parameters and buffers, frozen ones too",
                why="averaged gradients keep equal weights equal; weights that differ at the start differ for ever",
                case=f"{name} on rank {rank} of 3; each rank made its module from another seed",
            )


def check_forward(door: Door) -> None:
    """All arguments reach the module, and its result comes back."""

    def calls(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = door.wrap(Small(seed=0))
        x = batch_of(0, 0)[0]
        return model(x, 3.0).detach(), model(x=x, scale=3.0).detach()

    want = Small(seed=0)(batch_of(0, 0)[0], 3.0)
    for got in on_ranks(2, calls):
        for result, how in zip(got, ("model(x, 3.0)", "model(x=x, scale=3.0)"), strict=True):
            expect_close(
                result,
                want,
                what="positions and keywords reach the module's forward pass",
                why="positions, masks and attention kernels are passed by keyword; dropped, the model trains without",
                case=how,
                atol=1e-6,  # the same sums, of four numbers of size one
            )


def check_training(door: Door, ranks: int, optimizer: str) -> None:
    """Steps on several ranks are steps on one process over the joined batch."""

    def trained(rank: int) -> dict[str, torch.Tensor]:
        model = door.wrap(Small(seed=rank))
        update = OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])
        for step in range(STEPS):
            door.step(model, update, lambda s=step: loss_of(model, rank, s))
        return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}

    want = trained_alone(ranks, optimizer)
    for rank, got in enumerate(on_ranks(ranks, trained)):
        for name in want:
            expect_close(
                got[name],
                want[name],
                what=f"{STEPS} steps on several ranks end where {STEPS} steps on one process over all examples do",
                why="this is what data parallelism promises: more devices, the same model",
                case=f"{name} on rank {rank} of {ranks}, {optimizer}, {EACH} examples on each rank",
                atol=ATOL[optimizer],
            )


def check_unused(door: Door) -> None:
    """Whatever a rank's batch leaves out, nobody waits for ever, and the mean counts zeros."""
    choices = list(itertools.product([False, True], repeat=3))

    def leaves_out(rank: int) -> list[list[float | None]]:
        found = []
        for chosen in choices:
            model = door.wrap(Branches())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            used = (chosen, (True, False, True))[rank]
            x = torch.full((1, 2), rank + 1.0, requires_grad=True)  # so that there is always a backward pass
            door.start(model, optimizer)
            model(x, used).sum().backward()
            door.after(model, optimizer)
            gradients = [layer.weight.grad for layer in model.module.layers]
            found.append([None if g is None else g[0, 0].item() for g in gradients])
        return found

    for rank, found in enumerate(on_ranks(2, leaves_out)):
        for chosen, got in zip(choices, found, strict=True):
            for layer, (on_first, on_second) in enumerate(zip(chosen, (True, False, True), strict=True)):
                case = f"layer {layer} on rank {rank}; rank 0 used {chosen}, rank 1 used (True, False, True)"
                want = (1.0 * on_first + 2.0 * on_second) / 2
                value = got[layer]
                if not on_first and not on_second and value is None:
                    continue  # nobody used it: None, as on one process, or zeros
                expect(
                    value is not None,
                    what="a parameter that another rank used has the mean gradient here too",
                    why="an optimizer skips a parameter without a gradient: this rank's copy would stay behind",
                    counterexample=f"got None, wanted {want}",
                    case=case,
                )
                expect_close(
                    value,
                    want,
                    what="a rank whose batch did not use a parameter counts as a gradient of zero",
                    why="experts, adapters and skipped layers get gradients on some ranks only",
                    case=case,
                    atol=1e-6,  # halves of one and two
                )


def check_accumulation(door: Door) -> None:
    """Two backward passes before a step: the mean over ranks of the sum, whether or not it was averaged in between."""

    def adds_up(rank: int) -> list[torch.Tensor]:
        found = []
        for is_averaged_between in (False, True):
            torch.manual_seed(0)
            model = door.wrap(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for part in range(2):
                door.start(model, optimizer)
                model(torch.full((1, 2), 1.0 + rank + 10 * part)).sum().backward()
                if part or is_averaged_between:
                    door.after(model, optimizer)
            found.append(model.module[0].weight.grad.clone())
        return found

    for ranks in (2, 3):
        torch.manual_seed(0)
        alone = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        for rank, part in itertools.product(range(ranks), range(2)):
            (alone(torch.full((1, 2), 1.0 + rank + 10 * part)).sum() / ranks).backward()
        for got in on_ranks(ranks, adds_up):
            for gradient, how in zip(got, ("after the second only", "after each"), strict=True):
                expect_close(
                    gradient,
                    alone[0].weight.grad,
                    what="two backward passes before a step give the mean over ranks of the sum of both",
                    why="large batches are made of small ones; a part that is summed over the ranks twice, or changed "
                    "while it is on its way, makes steps of a wrong size that still go down",
                    case=f"{ranks} ranks, averaged {how}",
                    atol=1e-5,  # gradients of size ten, rounded at 1e-6
                )


def check_bfloat16(door: Door) -> None:
    """Gradients keep their parameter's dtype, and are right in it."""

    def half(rank: int) -> tuple[str, float]:
        model = door.wrap(nn.Linear(2, 1, bias=False).bfloat16())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        door.start(model, optimizer)
        model(torch.full((1, 2), rank + 1.0, dtype=torch.bfloat16)).sum().backward()
        door.after(model, optimizer)
        gradient = model.module.weight.grad
        return str(gradient.dtype), gradient[0, 0].item()

    for got in on_ranks(2, half):
        expect_equal(
            got,
            ("torch.bfloat16", 1.5),
            what="bfloat16 parameters have bfloat16 gradients, averaged",
            why="large models are kept in it",
            case="gradients 1 and 2 on two ranks",
        )
