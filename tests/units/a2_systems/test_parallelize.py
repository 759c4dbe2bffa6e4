"""Every strategy is the same training: weights, optimizer state and losses of N ranks are those of one."""

import dataclasses

import pytest
import torch
import torch.distributed as dist
from torch import nn

from a2_systems.measure.memory import LiveMemory
from a2_systems.parallel.parallelize import parallelize
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.doors.systems import Strategy
from shared.errors import ConfigError
from tests.harness.ranks import on_ranks

STRATEGIES = ("naive", "flat", "overlap", "bucketed", "zero1", "fsdp", "tensor", "pipeline")
BATCH, WIDTH = 12, 5  # sequences that 1, 2, 3 and 4 ranks can share; a width that only 1 and 5 divide
# Heads and hidden units that 1, 2, 3 and 4 divide, a vocabulary that they do not, and a block for each of four ranks.
TRANSFORMER = ModelConfig(
    7, context_length=3, d_model=24, num_layers=4, num_heads=12, d_ff=12, tied_embeddings=True, qkv_bias=True
)
OF_BLOCKS = ("tensor", "pipeline")
"""Strategies that know the parts of a language model; the others spread any module."""


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


def model_for(strategy, like=None):
    if (like or strategy.name) in OF_BLOCKS:
        # float64: AdamW divides a gradient that is nearly zero by itself, whatever the order of its sum left of it.
        return door("a1_basics").build_model(TRANSFORMER).double()
    return Model()


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


def forward(model, ids):
    return model(ids)


def cross_entropy(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def train(rank, strategy, steps=range(4), start=None, like=None):
    """`like`: the strategy whose model it is."""
    torch.manual_seed(0)
    model = model_for(strategy, like)
    spread = parallelize(model, optimizer_of(model), strategy)
    if start is not None:
        spread.load(*start)
    losses, norms = [], []
    for step in steps:
        spread.optimizer.zero_grad(set_to_none=True)
        losses.append(spread.forward_backward(*batch(step), forward, cross_entropy).item())
        norms.append(spread.clip(0.5))
        spread.optimizer.step()
    with torch.no_grad():
        logits = spread.model.eval()(batch(0)[0])
    return {
        "weights": spread.weights(),
        "optimizer": spread.optimizer_state(),
        "norms": norms,
        "losses": losses,
        "logits": logits,
    }


def alone(like, steps=range(4)):
    return train(0, Strategy("single"), steps, like=like)


def expect_same(found, wanted):
    # float32 sums in another order: 1e-7 relative at each of four steps, and AdamW divides small numbers by small ones.
    torch.testing.assert_close(found, wanted, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_ranks_train_what_one_trains(strategy, num_ranks):
    in_buckets = (
        Strategy(strategy, bucket_size_mb=1e-4) if strategy in ("bucketed", "zero1") else Strategy(strategy)
    )
    found = on_ranks(num_ranks, train, in_buckets)
    wanted = alone(strategy)
    for each in found:
        for key in ("norms", "losses", "logits"):
            expect_same(each[key], wanted[key])
    assert found[0]["weights"].keys() == wanted["weights"].keys()
    expect_same(found[0]["weights"], wanted["weights"])
    expect_same(found[0]["optimizer"]["state"], wanted["optimizer"]["state"])
    assert found[0]["optimizer"]["param_groups"] == wanted["optimizer"]["param_groups"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_microbatches_add_up_to_the_batch(strategy):
    found = on_ranks(2, train, Strategy(strategy, microbatches=3))
    expect_same(found[0]["weights"], alone(strategy)["weights"])
    expect_same(found[1]["losses"], alone(strategy)["losses"])


@pytest.mark.parametrize(
    ("before", "after", "like"),
    [
        ("fsdp", "zero1", "fsdp"),
        ("zero1", "fsdp", "fsdp"),
        ("fsdp", "single", "fsdp"),
        ("overlap", "fsdp", "fsdp"),
        ("fsdp", "tensor", "tensor"),
        ("tensor", "zero1", "tensor"),
        ("tensor", "tensor", "tensor"),
        ("pipeline", "pipeline", "pipeline"),
        ("tensor", "pipeline", "pipeline"),
        ("pipeline", "fsdp", "pipeline"),
    ],
)
def test_what_one_strategy_saved_another_goes_on_from_with_other_ranks(before, after, like):
    half = on_ranks(3, lambda rank: train(rank, Strategy(before), range(2), like=like))[0]
    num_ranks = 1 if after == "single" else 2
    start = (half["weights"], half["optimizer"])
    found = on_ranks(num_ranks, lambda rank: train(rank, Strategy(after), range(2, 4), start, like))
    expect_same(found[0]["weights"], alone(like)["weights"])


@pytest.mark.parametrize(
    ("schedule", "num_ranks", "microbatches"),
    [("gpipe", 3, 4), ("1f1b", 4, 6), ("interleaved", 2, 4), ("zero_bubble", 3, 3), ("dualpipe", 2, 4)],
)
def test_every_schedule_is_the_same_training(schedule, num_ranks, microbatches):
    strategy = Strategy("pipeline", schedule=schedule, microbatches=microbatches)
    found, wanted = on_ranks(num_ranks, train, strategy), alone("pipeline")
    for each in found:
        for key in ("weights", "norms", "losses", "logits"):
            expect_same(each[key], wanted[key])
    expect_same(found[0]["optimizer"]["state"], wanted["optimizer"]["state"])


@pytest.mark.parametrize("strategy", OF_BLOCKS)
def test_a_table_tied_under_two_names_is_one(strategy):
    """As a learner may tie it: the last matrix is a layer of its own whose weight is the table."""

    def tied():
        torch.manual_seed(0)
        model = (
            door("a1_basics").build_model(dataclasses.replace(TRANSFORMER, tied_embeddings=False)).double()
        )
        model.lm_head.weight = model.token_embeddings.weight
        return model

    def one_step(rank, strategy):
        model = tied()
        spread = parallelize(model, optimizer_of(model), Strategy(strategy))
        spread.forward_backward(*batch(0), forward, cross_entropy)
        spread.optimizer.step()
        return spread.weights()

    wanted = one_step(0, "single")
    assert {"lm_head.weight", "token_embeddings.weight"} <= wanted.keys()
    for found in on_ranks(2, one_step, strategy):
        assert found.keys() == wanted.keys()
        expect_same(found, wanted)


def test_state_is_shared_out():
    """Bytes of optimizer state and parameters on each rank, counted, against the formulas."""

    def held(rank, strategy):
        torch.manual_seed(0)
        model = model_for(Strategy(strategy))
        spread = parallelize(model, optimizer_of(model), Strategy(strategy))
        train_one(spread)
        state = sum(
            v.numel()
            for s in spread.optimizer.state.values()
            for v in s.values()
            if torch.is_tensor(v) and v.ndim
        )
        return [sum(p.numel() for p in spread.model.parameters()), state]

    def train_one(spread):
        spread.forward_backward(*batch(0), forward, cross_entropy)
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

    d_model, blocks = TRANSFORMER.d_model, TRANSFORMER.num_layers
    halves = 4 * d_model**2 + 3 * d_model + 3 * d_model * TRANSFORMER.d_ff  # of a block: matrices and biases
    norms = (2 * blocks + 1) * d_model
    tensor = on_ranks(2, held, "tensor")  # 4 rows of the table and 3
    assert [each[0] for each in tensor] == [rows * d_model + blocks * halves // 2 + norms for rows in (4, 3)]
    assert [each[1] for each in tensor] == [2 * each[0] for each in tensor]
    pipeline = on_ranks(2, held, "pipeline")  # two blocks each; the table is the head's too, so both have it
    table, block = 7 * d_model, halves + 2 * d_model
    assert [each[0] for each in pipeline] == [table + 2 * block, table + 2 * block + d_model]
    assert [each[1] for each in pipeline] == [2 * each[0] for each in pipeline]


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
        model = model_for(Strategy(strategy))
        spread = parallelize(model, optimizer_of(model), Strategy(strategy))
        weights = spread.model.full_parameters() if strategy == "fsdp" else spread.weights()
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


@pytest.mark.parametrize("strategy", ["zero1", "fsdp"])
def test_saving_costs_the_other_ranks_one_tensor_at_a_time(strategy):
    width, layers = 64, 8

    def saved(rank):
        torch.manual_seed(0)
        model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))
        spread = parallelize(model, torch.optim.AdamW(model.parameters()), Strategy(strategy))
        ids = torch.ones(2, width, dtype=torch.int64)
        spread.forward_backward(
            ids, ids, lambda model, ids: model(ids.float()), lambda out, _: out.square().mean()
        )
        spread.optimizer.step()
        with LiveMemory() as memory:
            memory.own(spread.model, spread.optimizer)
            before = memory.peak_bytes
            weights, state = spread.weights(), spread.optimizer_state()
        return [memory.peak_bytes - before, len(weights), len(state.get("state", {}))]

    matrix_bytes = 4 * width**2
    (_, *of_lead), (more_bytes, *_) = on_ranks(2, saved)
    assert of_lead == [layers, layers]
    assert more_bytes <= 4 * matrix_bytes  # of the 8 of the model and the 16 of its moments
