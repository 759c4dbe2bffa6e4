"""The sharded optimizer: the numbers of one optimizer, from a share of its state on each rank."""

import io

import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.ranks import on_ranks

# Sizes that no rule but one that looks at them spreads evenly: the first is a table of embeddings.
SHAPES = [(60, 8), (8, 8), (8,), (8, 24), (24, 8), (1,), (8, 8), (8,), (8, 24), (24, 8)]
# The update of a parameter is the same arithmetic wherever it is done: an ulp or two of float32 for one that is fused.
ATOL = 1e-6


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def give(parameters, step: int) -> None:
    """Gradients as they are after data parallelism: the same on all ranks."""
    generator = torch.Generator().manual_seed(1 + step)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator) if p.requires_grad else None


def values(parameters) -> list[torch.Tensor]:
    return [p.detach().clone() for p in parameters]


def spy() -> tuple[type, list]:
    """An optimizer class, and the list of its instances: to look at their state, wherever they are kept."""
    made: list[torch.optim.Optimizer] = []

    class Watched(torch.optim.AdamW):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    return Watched, made


def alone(steps: int = 4, **kwargs) -> list[torch.Tensor]:
    ours = parameters()
    optimizer = torch.optim.AdamW(ours, **kwargs)
    for step in range(steps):
        give(ours, step)
        optimizer.step()
    return values(ours)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_come_to_the_parameters_of_one_optimizer(adapters, ranks):
    def train(rank):
        ours = parameters()
        optimizer = adapters.get_sharded_optimizer(
            (p for p in ours), torch.optim.AdamW, lr=0.1, weight_decay=0.1, betas=(0.9, 0.99), eps=1e-8
        )
        for step in range(4):
            give(ours, step)
            optimizer.step()
        optimizer.zero_grad()
        left = sum(p.grad is not None and bool(p.grad.any()) for p in ours)
        return {"values": values(ours), "left": left}

    wanted = alone(lr=0.1, weight_decay=0.1, betas=(0.9, 0.99), eps=1e-8)
    for rank, found in enumerate(on_ranks(ranks, train)):
        for which, (got, want) in enumerate(zip(found["values"], wanted, strict=True)):
            expect_close(
                got,
                want,
                what="after step() every rank has all updated parameters, those of one plain optimizer",
                why="each rank updates a part; what it does not send, or sends from the wrong rank, leaves the ranks "
                "with different models that average each other's nonsense",
                case=f"AdamW, 4 steps, rank {rank} of {ranks}, parameter {which} of shape {tuple(want.shape)}",
                atol=ATOL,
            )
        expect_equal(
            found["left"],
            0,
            what="zero_grad() clears the gradients of all parameters, also of those another rank owns",
            why="backward() adds to what is there",
            case=f"rank {rank} of {ranks}",
        )


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_state_is_shared_by_size(adapters, ranks):
    def state_elements(rank):
        watched, made = spy()
        ours = parameters()
        optimizer = adapters.get_sharded_optimizer(ours, watched, lr=0.1)
        give(ours, 0)
        optimizer.step()
        tensors = {
            id(value): value.numel()
            for each in made
            for p, state in each.state.items()
            for value in state.values()
            if isinstance(value, torch.Tensor) and value.shape == p.shape and value.ndim
        }
        return sum(tensors.values())

    found = on_ranks(ranks, state_elements)
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    why = "the moments are half of the memory of training, and sharing them is all that this optimizer is for"
    # A parameter of one element has moments as large as its count of steps, which may or may not look like one.
    expect(
        abs(sum(found) - 2 * sum(sizes)) <= 2 * ranks,
        what="all ranks together hold two moments for each parameter, and none twice",
        why=why,
        counterexample=f"elements of state by rank {found}, together {sum(found)}; wanted {2 * sum(sizes)}",
        case=f"AdamW on {ranks} ranks, {sum(sizes)} parameters",
    )
    bound = 2 * (-(-sum(sizes) // ranks) + max(sizes))
    fair = 2 * max(max(sizes), -(-sum(sizes) // ranks) + sorted(sizes)[-2])
    expect(
        max(found) <= min(bound, fair),
        what="no rank holds more than its share, but for the size of one parameter",
        why=why + "; the fullest rank decides what fits",
        counterexample=f"elements of state by rank {found}; wanted at most {min(bound, fair)} on each",
        case=f"AdamW on {ranks} ranks, parameters of sizes {sizes}",
    )


def test_settings_may_change_at_any_step(adapters):
    def train(rank, build):
        ours = parameters()
        optimizer = build(ours, torch.optim.AdamW)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (100.0, 30.0, 0.0, 50.0)[step])
        for step in range(4):
            give(ours, step)
            optimizer.param_groups[0]["weight_decay"] = 0.5 * step
            optimizer.step()
            if step < 3:
                scheduler.step()
        return values(ours)

    (wanted,) = on_ranks(1, train, lambda params, optimizer_cls: optimizer_cls(params))
    for rank, found in enumerate(on_ranks(2, train, adapters.get_sharded_optimizer)):
        for which, (got, want) in enumerate(zip(found, wanted, strict=True)):
            expect_close(
                got,
                want,
                what="each step uses the settings that stand in param_groups at that moment",
                why="a schedule writes into the groups of the optimizer that it was given; if the inner one keeps a "
                "copy, training goes on without warm-up and without cool-down, and says nothing",
                case=f"lr 0.1, 0.03, 0, 0.05 by a scheduler, weight_decay 0, 0.5, 1, 1.5; rank {rank} of 2, "
                f"parameter {which}",
                atol=ATOL,
            )


def test_groups_may_be_added(adapters):
    def train(rank, build):
        ours = parameters()
        groups = [{"params": ours[:3], "weight_decay": 0.5}, {"params": ours[3:5], "lr": 0.01}]
        optimizer = build(groups, torch.optim.AdamW, lr=0.1)
        for step in range(3):
            give(ours, step)
            if step == 1:
                optimizer.add_param_group({"params": ours[5:], "betas": (0.5, 0.6)})
            optimizer.step()
        return values(ours)

    (wanted,) = on_ranks(1, train, lambda params, optimizer_cls, **kwargs: optimizer_cls(params, **kwargs))
    for rank, found in enumerate(on_ranks(3, train, adapters.get_sharded_optimizer)):
        for which, (got, want) in enumerate(zip(found, wanted, strict=True)):
            expect_close(
                got,
                want,
                what="groups have their own settings, and one that is added later is trained like the others",
                why="norms are spared the decay by groups, and layers that are unfrozen late come as new ones",
                case=f"three groups, the last added before step 2; rank {rank} of 3, parameter {which}",
                atol=ATOL,
            )


def test_parameters_without_gradient_stay(adapters):
    def train(rank):
        ours = parameters()
        ours[0].requires_grad_(False)
        optimizer = adapters.get_sharded_optimizer(ours, torch.optim.AdamW, lr=0.1, weight_decay=0.5)
        for step in range(2):
            give(ours, step)
            ours[4].grad = None
            optimizer.step()
        return [ours[0].detach(), ours[4].detach()]

    start = parameters()
    for rank, found in enumerate(on_ranks(2, train)):
        for got, which in zip(found, (0, 4), strict=True):
            expect_equal(
                got,
                start[which].detach(),
                what="a parameter that is frozen, or has no gradient, is left alone on every rank",
                why="layers that a batch did not use would fade by weight decay",
                case=f"weight_decay 0.5, parameter {which}, rank {rank} of 2",
            )


def test_a_closure_runs_once_and_its_loss_comes_back(adapters):
    def train(rank):
        p, q, calls = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(4)), []
        optimizer = adapters.get_sharded_optimizer([p, q], torch.optim.SGD, lr=1.0)

        def closure():
            calls.append(1)
            optimizer.zero_grad()
            loss = 2 * p.sum() + q.sum()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        return {"loss": None if loss is None else float(loss), "calls": len(calls), "p": p.detach()}

    for rank, found in enumerate(on_ranks(2, train)):
        expect_equal(
            {**found, "p": found["p"].tolist()},
            {"loss": 10.0, "calls": 1, "p": [-1.0] * 3},
            what="step(closure) calls it once on every rank, before the update, and returns its loss",
            why="the closure runs forward and backward pass; called on one rank only, the others wait for ever",
            case=f"rank {rank} of 2, SGD, loss 2 sum(p) + sum(q)",
        )


def test_training_resumes(adapters):
    def train(rank):
        found = []
        for is_disturbed in (False, True):
            ours = parameters()
            optimizer = adapters.get_sharded_optimizer(ours, torch.optim.AdamW, lr=0.1)
            for step in range(4):
                if step == 2 and is_disturbed:
                    file = io.BytesIO()
                    torch.save(optimizer.state_dict(), file)
                    file.seek(0)
                    optimizer = adapters.get_sharded_optimizer(ours, torch.optim.AdamW, lr=7.0)
                    optimizer.load_state_dict(torch.load(file, weights_only=True))
                give(ours, step)
                optimizer.step()
            found.append(values(ours))
        return found

    for rank, (whole, resumed) in enumerate(on_ranks(2, train)):
        for which, (got, want) in enumerate(zip(resumed, whole, strict=True)):
            expect_close(
                got,
                want,
                what="what each rank saves by state_dict() and loads again lets training end where the undisturbed "
                "one does",
                why="long runs are interrupted; without the moments the first steps after it are those of a new run",
                case=f"stopped after 2 of 4 steps; rank {rank} of 2, parameter {which}",
                atol=ATOL,
            )
