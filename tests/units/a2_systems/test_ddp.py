"""Data parallelism against one process on the joined batch, and what each wrapper sends, when, and in which order."""

import itertools

import pytest
import torch
import torch.distributed as dist
from torch import nn

from a2_systems.parallel.ddp import BucketedDDP, OverlappedDDP, buckets_of
from a2_systems.parallel.ddp_naive import FlatDDP, NaiveDDP
from a2_systems.parallel.replicas import Replica
from tests.harness.ranks import Collectives, RankFailed, on_ranks

KINDS = {
    "naive": NaiveDDP,
    "flat": FlatDDP,
    "overlapped": OverlappedDDP,
    "bucketed": lambda module: BucketedDDP(module, 200 / 2**20),
    "one bucket": lambda module: BucketedDDP(module, 100.0),
}
OVERLAPPING = ["overlapped", "bucketed", "one bucket"]
# The mean of ranks' means is rounded once more than the mean over the joined batch: 1e-7 of numbers of size 1 a step,
# which AdamW's division by the root of a small v makes up to 100 times as large. float64 would hide nothing more.
ATOL = {"sgd": 2e-6, "adamw": 2e-5}
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
}
EACH, STEPS = 3, 4  # examples of a rank, and steps


class Odd(nn.Module):
    """Every oddity at once: tied, frozen, never used, used by some examples only, a buffer, a keyword."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Embedding(6, 4)
        self.inner = nn.Linear(4, 4)
        self.sometimes = nn.Linear(4, 4)
        self.never = nn.Linear(3, 3)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.table.weight
        self.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
        self.register_buffer("shift", torch.randn(4))

    def forward(self, ids: torch.Tensor, *, detour: bool = False) -> torch.Tensor:
        hidden = torch.tanh(self.inner(self.table(ids))) + self.frozen + self.shift
        return self.head(hidden + self.sometimes(hidden) if detour else hidden)


def ids_of(rank: int, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * step + rank)
    return torch.randint(6, (EACH, 2), generator=generator)


def loss_of(model: nn.Module, rank: int, step: int) -> torch.Tensor:
    """Odd ranks take the detour in odd steps: the layer is used by some ranks, by all of one, or by nobody."""
    ids = ids_of(rank, step)
    logits = model(ids[:, 0], detour=bool(rank % 2 and step % 2))
    return nn.functional.cross_entropy(logits, ids[:, 1])


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def train_alone(ranks: int, optimizer: str) -> dict[str, torch.Tensor]:
    model = Odd(seed=0)
    update = OPTIMIZERS[optimizer](model.parameters())
    for step in range(STEPS):
        update.zero_grad()
        sum(loss_of(model, rank, step) for rank in range(ranks)).div(ranks).backward()
        update.step()
    return weights_of(model)


def test_the_batch_of_one_process_has_every_case():
    """The oracle's own check: some steps leave the detour's gradient None, and others do not."""
    model = Odd()
    sum(loss_of(model, rank, 0) for rank in range(4)).backward()
    assert model.sometimes.weight.grad is None
    assert model.never.weight.grad is None
    sum(loss_of(model, rank, 1) for rank in range(4)).backward()
    assert model.sometimes.weight.grad is not None


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_on_several_ranks_are_steps_on_one(ranks, optimizer):
    def trained(rank: int) -> dict[str, dict[str, torch.Tensor]]:
        found = {}
        for name in KINDS:
            model = KINDS[name](Odd(seed=rank))  # every rank begins elsewhere
            update = OPTIMIZERS[optimizer](model.parameters())
            for step in range(STEPS):
                update.zero_grad()
                loss_of(model, rank, step).backward()
                model.finish_gradient_synchronization()
                assert model.module.never.weight.grad is None, "nobody used it, as on one device"
                update.step()
            found[name] = weights_of(model.module)
        return found

    alone, (first, *others) = train_alone(ranks, optimizer), on_ranks(ranks, trained)
    for name in KINDS:
        for key, want in alone.items():
            torch.testing.assert_close(
                first[name][key],
                want,
                atol=ATOL[optimizer],
                rtol=0,
                msg=lambda m, n=name, k=key: f"{n} {k}: {m}",
            )
            assert all(torch.equal(first[name][key], other[name][key]) for other in others), (name, key)


@pytest.mark.parametrize("name", KINDS)
def test_everything_begins_as_on_the_first_rank(name):
    class Mixed(Odd):
        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.register_buffer(
                "flags", torch.tensor([True, False]) if seed == 0 else torch.tensor([False, True])
            )
            self.register_buffer("count", torch.tensor(seed))
            self.register_buffer("aside", torch.full((2,), float(seed)), persistent=False)
            self.turned = nn.Parameter(torch.randn(2, 3).t())

    def start(rank: int) -> dict[str, torch.Tensor]:
        model = KINDS[name](Mixed(rank))
        assert not model.module.turned.is_contiguous()
        assert model.module.head.weight is model.module.table.weight
        return {**weights_of(model.module), "aside": model.module.aside}

    want = {**weights_of(Mixed(0)), "aside": torch.zeros(2)}
    for found in on_ranks(2, start):
        assert list(found) == list(want), "state_dict() of the module has the names it had"
        assert all(torch.equal(found[key], want[key]) for key in want)


def calls_of(name: str, ranks: int = 2) -> list[list[object]]:
    """What the last rank sends in one step of a plain model whose gradients are complete."""

    def talks(rank: int) -> list[list[object]]:
        torch.manual_seed(0)
        model = KINDS[name](nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 5, bias=False), nn.Linear(5, 3)))
        with Collectives() as log:
            model(torch.randn(2, 8)).sum().backward()
            log.mark("backward returned")
            model.finish_gradient_synchronization()
        return [list(call) for call in log.calls]

    return on_ranks(ranks, talks)[-1]


def test_what_leaves_and_when():
    """Parameters in bytes: 128, 16, 80, 60, 12; the byte for each of five says who had a gradient."""
    returned, presence = ["backward returned", 0], ["allreduce", 5]
    each = [["allreduce", size] for size in (12, 60, 80, 16, 128)]
    assert calls_of("naive") == [returned, presence, *each[::-1]]
    assert calls_of("flat") == [returned, presence, ["allreduce", 296]]
    assert calls_of("overlapped") == [*each, returned, presence]
    in_buckets = [["allreduce", size] for size in (12 + 60 + 80 + 16, 128)]
    assert calls_of("bucketed") == [*in_buckets, returned, presence], (
        "200 bytes: four fit, the fifth does not"
    )
    assert calls_of("one bucket") == [["allreduce", 296], returned, presence]
    assert calls_of("overlapped", ranks=1) == calls_of("overlapped", ranks=3), (
        "the same code for any number of ranks"
    )


def test_a_bucket_leaves_before_the_gradients_behind_it_are_computed():
    def told(rank: int) -> list[str]:
        layers = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(3))
        model = BucketedDDP(nn.Sequential(*layers), 64 / 2**20)
        seen: list[str] = []
        with Collectives() as log:
            for index, layer in enumerate(layers):
                layer.weight.register_hook(
                    lambda _, i=index: seen.append(f"{i} after {log.count('allreduce')}")
                )
            model(torch.ones(1, 4)).sum().backward()
        return seen

    assert on_ranks(2, told)[0] == ["2 after 0", "1 after 1", "0 after 2"]


@pytest.mark.parametrize("name", OVERLAPPING)
def test_the_order_is_the_same_whatever_a_rank_leaves_out(name):
    """Every set of layers that rank 1 may leave out: the same messages as rank 0, and the mean with zeros."""

    def leaves_out(rank: int) -> list[list[object]]:
        found = []
        for used in itertools.product([False, True], repeat=3):
            torch.manual_seed(0)
            layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            model = KINDS[name](nn.ModuleDict({"layers": layers}))
            chosen = [layer for layer, is_in in zip(layers, used, strict=True) if is_in or rank == 0]
            with Collectives() as log:
                if chosen:
                    sum((rank + 1) * layer(torch.ones(4)).sum() for layer in chosen).backward()
                model.finish_gradient_synchronization()
            gradients = [layer.bias.grad[0].item() for layer in layers]
            assert gradients == [(1 + 2 * is_in) / 2 for is_in in used]
            found.append(log.calls)
        return [[list(call) for call in calls] for calls in found]

    first, second = on_ranks(2, leaves_out)
    assert first == second


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_accumulated_gradients_are_averaged_once(name, ranks):
    """Four ways to add up three small batches; all give the mean over ranks of the sum."""

    def gradients(rank: int) -> dict[str, torch.Tensor]:
        def backward(model: Replica, part: int) -> None:
            model(torch.full((1, 4), float(10 * part + rank + 1))).sum().backward()

        def fresh() -> Replica:
            torch.manual_seed(0)
            return KINDS[name](nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)))

        found = {}
        model = fresh()
        with model.no_sync(), Collectives() as log:
            backward(model, 0)
            backward(model, 1)
            model.finish_gradient_synchronization()  # nothing, in here
        assert not log.calls, "nothing is sent inside no_sync()"
        backward(model, 2)
        model.finish_gradient_synchronization()
        found["no_sync"] = model.module[0].weight.grad
        model = fresh()
        for part in range(3):
            backward(model, part)
        model.finish_gradient_synchronization()
        found["finished once"] = model.module[0].weight.grad
        model = fresh()
        for part in range(3):
            backward(model, part)
            model.finish_gradient_synchronization()
        found["finished each time"] = model.module[0].weight.grad
        model = fresh()
        backward(model, 0)
        with model.no_sync():
            backward(model, 1)
        backward(model, 2)
        model.finish_gradient_synchronization()
        model.finish_gradient_synchronization()
        found["mixed, finished twice"] = model.module[0].weight.grad
        return found

    torch.manual_seed(0)
    alone = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))
    for rank, part in itertools.product(range(ranks), range(3)):
        alone(torch.full((1, 4), float(10 * part + rank + 1))).sum().div(ranks).backward()
    for found in on_ranks(ranks, gradients):
        for way, got in found.items():
            # Gradients are of size 30; float32 carries seven digits through three sums.
            torch.testing.assert_close(
                got, alone[0].weight.grad, atol=2e-5, rtol=0, msg=lambda m, w=way: f"{w}: {m}"
            )


@pytest.mark.parametrize("name", OVERLAPPING)
def test_a_gradient_changed_on_its_way_is_refused(name):
    def twice(rank: int) -> None:
        model = KINDS[name](nn.Linear(2, 2))
        losses = [model(torch.ones(1, 2)).sum() for _ in range(2)]
        for loss in losses:
            loss.backward()

    with pytest.raises(RankFailed, match=r"on its way to the other ranks.*no_sync\(\)"):
        on_ranks(2, twice)


@pytest.mark.parametrize("name", KINDS)
def test_a_thawed_parameter_is_refused_by_name(name):
    def thaws(rank: int) -> None:
        model = KINDS[name](Odd())
        model.module.frozen.requires_grad_(True)
        loss_of(model, rank, 0).backward()
        model.finish_gradient_synchronization()

    with pytest.raises(RankFailed, match="frozen wants gradients"):
        on_ranks(2, thaws)


@pytest.mark.parametrize("name", KINDS)
def test_other_dtypes_layouts_and_groups(name):
    def odd_parts(rank: int) -> tuple[list[torch.Tensor], list[str]]:
        class Parts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.short = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
                self.wide = nn.Parameter(torch.zeros(2, dtype=torch.float64))
                self.turned = nn.Parameter(torch.zeros(2, 3).t())
                self.empty = nn.Parameter(torch.zeros(0))
                self.point = nn.Parameter(torch.zeros(()))

        model = KINDS[name](Parts())
        loss = sum((parameter.double() * (rank + 1)).sum() for parameter in model.module.parameters())
        loss.backward()
        model.finish_gradient_synchronization()
        gradients = [parameter.grad for parameter in model.module.parameters()]
        return [g.double() for g in gradients], [str(g.dtype) for g in gradients]

    for gradients, dtypes in on_ranks(3, odd_parts):
        assert [set(g.flatten().tolist()) for g in gradients] == [{2.0}, {2.0}, {2.0}, set(), {2.0}]
        assert dtypes == ["torch.bfloat16", "torch.float64", *["torch.float32"] * 3]


def test_a_group_of_some_ranks_trains_by_itself():
    def in_groups(rank: int) -> list[float]:
        groups = [dist.new_group([0, 2]), dist.new_group([1])]
        found = []
        for kind in (NaiveDDP, FlatDDP, OverlappedDDP):
            model = kind(nn.Linear(1, 1, bias=False), group=groups[rank % 2])
            model(torch.full((1, 1), float(rank + 1))).sum().backward()
            model.finish_gradient_synchronization()
            found.append(model.module.weight.grad.item())
        return found

    assert on_ranks(3, in_groups) == [[2.0] * 3, [2.0] * 3, [2.0] * 3]


def test_waiting_is_measured(monkeypatch):
    """On a clock of our own: what is hidden counts for communication and not as exposed."""
    from a2_systems.parallel import replicas

    def measured(rank: int) -> list[float]:
        clock = itertools.count(0.0, 1.0)
        monkeypatch.setattr(replicas.time, "perf_counter", lambda: next(clock))
        found = []
        for kind in (NaiveDDP, OverlappedDDP):
            model = kind(nn.Linear(1, 1))
            assert (model.exposed_seconds, model.communication_seconds) == (0.0, 0.0)
            model(torch.ones(1, 1)).sum().backward()
            model.finish_gradient_synchronization()
            found += [model.exposed_seconds, model.communication_seconds]
        return found

    assert on_ranks(2, measured)[0] == [1.0, 1.0, 1.0, 2.0]


def test_buckets_are_cut_in_order_by_size_and_kind():
    def of(size: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
        return nn.Parameter(torch.zeros(size, dtype=dtype))

    parameters = [of(1), of(2), of(1), of(9), of(1), of(1, torch.bfloat16), of(1, torch.bfloat16), of(0)]
    buckets = buckets_of(parameters, bucket_bytes=12.0)
    assert [[p.numel() for p in bucket] for bucket in buckets] == [[1, 2], [1], [9], [1], [1, 1], [0]]
    assert [id(p) for bucket in buckets for p in bucket] == [id(p) for p in parameters]
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"bucket_size_mb={wrong}"):
            BucketedDDP(nn.Linear(1, 1), wrong)


def test_a_rank_whose_first_microbatch_used_nothing_stays_in_step():
    """Whether an unfinished backward pass is sent before the next forward pass is the same on all ranks."""

    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(()))

        def forward(self, features: torch.Tensor, is_used: bool) -> torch.Tensor:
            return features * self.gain if is_used else features

    def two_passes(rank: int) -> list[float]:
        found = []
        for kind in (OverlappedDDP, lambda module: BucketedDDP(module, 1.0)):
            model = kind(Sometimes())
            for turn in range(2):  # rank 0 uses its parameter in the second pass alone
                features = torch.full((), 1.0 + rank + 10 * turn, requires_grad=True)
                model(features, is_used=turn >= 1 - rank).backward()
            model.finish_gradient_synchronization()
            found.append(model.module.gain.grad.item())
        return found

    # (11 + 12) / 2 of the second pass, and (0 + 2) / 2 of the first
    assert on_ranks(2, two_passes, wait_seconds=20) == [[12.5, 12.5]] * 2
