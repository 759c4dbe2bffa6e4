"""Every strategy is the same training: weights, optimizer state and losses of N ranks are those of one."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from a2_systems.parallel.parallelize import parallelize
from shared.doors.resolve import door
from shared.doors.systems import Strategy
from shared.errors import ConfigError
from tests.harness.ranks import on_ranks

STRATEGIES = ("naive", "flat", "overlap", "bucketed", "zero1", "fsdp")
BATCH, WIDTH = 12, 5  # sequences that 1, 2, 3 and 4 ranks can share; a width that only 1 and 5 divide


class Model(nn.Module):
    """Matrices, a vector, a buffer and a tied table, as language models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("scale", torch.tensor(2.0))
        self.out = nn.Linear(WIDTH, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids):
        return self.out(torch.tanh(self.inner(self.table(ids))) * self.scale)


def optimizer_of(model):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return door("a1_basics").get_adamw_cls()(groups, lr=0.02)


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randint(7, (BATCH, 3), generator=generator), torch.randint(
        7, (BATCH, 3), generator=generator
    )


def train(rank, num_ranks, strategy, steps=range(4), start=None, microbatches=1):
    torch.manual_seed(0)
    model = Model()
    spread = parallelize(model, optimizer_of(model), strategy)
    if start is not None:
        spread.load(*start)
    norms = []
    for step in steps:
        spread.optimizer.zero_grad(set_to_none=True)
        ids, targets = (part[rank::num_ranks] for part in batch(step))
        pieces = list(zip(ids.chunk(microbatches), targets.chunk(microbatches), strict=True))
        for number, (some, wanted) in enumerate(pieces):
            with spread.accumulating(number < len(pieces) - 1):
                logits = spread.model(some)
                loss = nn.functional.cross_entropy(logits.flatten(0, -2), wanted.flatten())
                (loss / microbatches).backward()
        spread.finish_backward()
        norms.append(spread.clip(0.5))
        spread.optimizer.step()
    return {"weights": spread.weights(), "optimizer": spread.optimizer_state(), "norms": norms}


def alone(steps=range(4)):
    return train(0, 1, Strategy("single"), steps)


def expect_same(found, wanted):
    # float32 sums in another order: 1e-7 relative at each of four steps, and AdamW divides small numbers by small ones.
    torch.testing.assert_close(found, wanted, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_ranks_train_what_one_trains(strategy, num_ranks):
    in_buckets = (
        Strategy(strategy, bucket_size_mb=1e-4) if strategy in ("bucketed", "zero1") else Strategy(strategy)
    )
    found = on_ranks(num_ranks, train, num_ranks, in_buckets)
    wanted = alone()
    for each in found:
        expect_same(each["weights"], wanted["weights"])
        expect_same(each["optimizer"]["state"], wanted["optimizer"]["state"])
        expect_same(each["norms"], wanted["norms"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_microbatches_add_up_to_the_batch(strategy):
    found = on_ranks(2, lambda rank: train(rank, 2, Strategy(strategy), microbatches=3))
    expect_same(found[0]["weights"], alone()["weights"])


@pytest.mark.parametrize(
    ("before", "after"), [("fsdp", "zero1"), ("zero1", "fsdp"), ("fsdp", "single"), ("overlap", "fsdp")]
)
def test_what_one_strategy_saved_another_goes_on_from_with_other_ranks(before, after):
    half = on_ranks(3, lambda rank: train(rank, 3, Strategy(before), range(2)))[1]
    num_ranks = 1 if after == "single" else 2
    start = (half["weights"], half["optimizer"])
    found = on_ranks(num_ranks, lambda rank: train(rank, num_ranks, Strategy(after), range(2, 4), start))
    expect_same(found[-1]["weights"], alone()["weights"])


def test_state_is_shared_out():
    """Bytes of optimizer state and parameters on each rank, counted, against the formulas."""

    def held(rank, strategy):
        torch.manual_seed(0)
        model = Model()
        spread = parallelize(model, optimizer_of(model), Strategy(strategy))
        train_one(spread, rank)
        state = sum(
            v.numel()
            for s in spread.optimizer.state.values()
            for v in s.values()
            if torch.is_tensor(v) and v.ndim
        )
        return [sum(p.numel() for p in spread.model.parameters()), state]

    def train_one(spread, rank):
        ids, targets = (part[rank::2] for part in batch(0))
        nn.functional.cross_entropy(spread.model(ids).flatten(0, -2), targets.flatten()).backward()
        spread.finish_backward()
        spread.optimizer.step()

    table, inner, bias = 7 * WIDTH, WIDTH * WIDTH, WIDTH
    everything = table + inner + bias
    assert on_ranks(2, held, "overlap") == [[everything, 2 * everything]] * 2
    zero1 = on_ranks(2, held, "zero1")
    assert [each[0] for each in zero1] == [everything] * 2
    assert sum(each[1] for each in zero1) == 2 * everything
    assert all(each[1] < 2 * everything for each in zero1)
    fsdp = on_ranks(2, held, "fsdp")  # rows 4 + 3 of the table, 3 + 2 of the matrix; the vector is everyone's
    assert [each[0] for each in fsdp] == [4 * WIDTH + 3 * WIDTH + bias, 3 * WIDTH + 2 * WIDTH + bias]
    assert [each[1] for each in fsdp] == [2 * each[0] for each in fsdp]


def test_an_optimizer_that_has_done_steps_is_refused():
    model = Model()
    optimizer = optimizer_of(model)
    model(batch(0)[0]).sum().backward()
    optimizer.step()
    with pytest.raises(ConfigError, match="spread the model first"):
        parallelize(model, optimizer, Strategy("single"))


def test_ranks_begin_with_the_weights_of_the_first():
    def first_weights(rank, strategy):
        torch.manual_seed(rank)
        model = Model()
        spread = parallelize(model, optimizer_of(model), Strategy(strategy))
        weights = spread.weights()
        dist.barrier()
        return weights

    for strategy in STRATEGIES:
        one, other = on_ranks(2, first_weights, strategy)
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("strategy", ["zero1", "fsdp"])
def test_optimizers_that_keep_more_than_they_take_are_rebuilt_with_their_settings(strategy):
    """torch's AdamW, for one, keeps `decoupled_weight_decay`, which its constructor does not know."""

    def stepped(rank, name):
        makes = {
            "AdamW": lambda params: torch.optim.AdamW(params, lr=0.01, eps=1e-2, weight_decay=0.3),
            "Adam": lambda params: torch.optim.Adam(params, lr=0.01, eps=1e-2, amsgrad=True),
            "SGD": lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9, nesterov=True),
        }
        found = {}
        for which, make in makes.items():
            torch.manual_seed(0)
            model = Model()
            spread = parallelize(model, make(model.parameters()), Strategy(name))
            for step in range(2):
                spread.optimizer.zero_grad(set_to_none=True)
                cross_entropy(spread.model(batch(step)[0]), batch(step)[1]).backward()
                getattr(spread, "finish_backward", lambda: None)()
                spread.optimizer.step()
            found[which] = spread.weights()
        return found

    def cross_entropy(logits, targets):
        return nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())

    expect_same(on_ranks(2, stepped, strategy)[0], on_ranks(1, stepped, "single")[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_process_without_a_group_trains_alone_and_says_so(strategy, capsys):
    model = Model()
    spread = parallelize(model, optimizer_of(model), Strategy(strategy))
    spread.model(batch(0)[0]).sum().backward()
    assert spread.clip(1.0) > 0
    spread.optimizer.step()
    assert spread.weights().keys() == model.state_dict().keys()
    assert f"nothing to spread, strategy {strategy} trains as single" in capsys.readouterr().out


def test_one_rank_s_strategy_is_refused_on_several():
    def refused(rank):
        model = Model()
        with pytest.raises(ConfigError, match=r"2 ranks would train as many different ones\. Use --strategy"):
            parallelize(model, optimizer_of(model), Strategy("single"))

    on_ranks(2, refused)


def test_settings_that_a_strategy_would_ignore_are_refused():
    with pytest.raises(
        ConfigError, match=r"bucket_size_mb=3 is for strategy bucketed and zero1, and flat would"
    ):
        Strategy("flat", bucket_size_mb=3)
    with pytest.raises(
        ConfigError, match=r"compute_dtype=bfloat16 is for strategy fsdp, and zero1 would ignore"
    ):
        Strategy("zero1", compute_dtype="bfloat16")
    Strategy("zero1", bucket_size_mb=3), Strategy("fsdp", compute_dtype="bfloat16"), Strategy("naive")
