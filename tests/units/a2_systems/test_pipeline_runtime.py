"""A pipeline run on several ranks: the losses and gradients of one process, by the very list that is drawn."""

import dataclasses
import itertools

import pytest
import torch
import torch.distributed as dist
from torch import nn

from a2_systems.measure.memory import LiveMemory
from a2_systems.parallel.pipeline import runtime
from a2_systems.parallel.pipeline.actions import ScheduleError
from a2_systems.parallel.pipeline.runtime import Pipeline, messages
from a2_systems.parallel.pipeline.schedules import schedule_named
from a2_systems.parallel.pipeline.stages import Stage
from a2_systems.parallel.pipeline.weight_gradients import WeightGradients
from shared.doors.protocols import ClassicConfig, ModelConfig
from shared.doors.resolve import door
from shared.errors import ConfigError
from tests.harness.ranks import on_ranks

BASICS = door("a1_basics")
SHAPE = ModelConfig(
    vocab_size=13,
    context_length=6,
    d_model=8,
    num_layers=4,
    num_heads=2,
    d_ff=12,
    num_kv_heads=1,
    qkv_bias=True,
)
EIGHT_BLOCKS = dataclasses.replace(SHAPE, num_layers=8)
TIED = dataclasses.replace(SHAPE, tied_embeddings=True)
# float64: the same sums in another order, of numbers near one. A gradient that was lost or added twice is off by 1e-2.
ATOL = 1e-12
STEPS, RATE = 2, 0.5


def model_of(shape: ModelConfig, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return BASICS.build_model(shape).double()


def batch(num_sequences: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 13, (num_sequences, 7), generator=torch.Generator().manual_seed(step))
    return ids[:, :-1], ids[:, 1:]


def alone(shape: ModelConfig, num_sequences: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and final weights of plain gradient descent in one process."""
    model, losses = model_of(shape), []
    for step in range(STEPS):
        ids, targets = batch(num_sequences, step)
        loss = BASICS.run_cross_entropy(model(ids), targets)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= RATE * parameter.grad
        losses.append(loss.item())
    return losses, dict(model.named_parameters())


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "shape"),
    [
        ("gpipe", 3, 4, TIED),
        ("1f1b", 2, 3, TIED),
        ("1f1b", 4, 2, SHAPE),
        ("interleaved", 2, 4, TIED),
        ("zero_bubble", 3, 4, TIED),
        ("dualpipe", 2, 4, TIED),
        ("dualpipe", 4, 8, SHAPE),
    ],
)
def test_a_pipeline_trains_as_one_process_does(name, ranks, microbatches, shape):
    schedule = schedule_named(name, ranks, microbatches)

    def train(rank):
        # Ranks that begin apart, but for what only one of them holds, are made equal at the start.
        pipeline = Pipeline(model_of(shape), schedule)
        optimizer, losses = torch.optim.SGD(pipeline.parameters(), lr=RATE), []
        for step in range(STEPS):
            optimizer.zero_grad()
            losses.append(pipeline.step(*batch(2 * microbatches, step), BASICS.run_cross_entropy).item())
            assert tuple(span.action for span in pipeline.spans) == schedule.ranks[rank]
            optimizer.step()
        names = [name for name, _ in pipeline.named_parameters()]
        return {"losses": losses, "weights": pipeline.full_parameters(), "names": names}

    losses, weights = alone(shape, 2 * microbatches)
    results = on_ranks(ranks, train)
    for found in results:
        torch.testing.assert_close(found["losses"], losses, rtol=0, atol=ATOL)
        assert found["weights"].keys() == weights.keys()
        for key, weight in weights.items():
            torch.testing.assert_close(found["weights"][key], weight.detach(), rtol=0, atol=ATOL, msg=key)
    held = [key for found in results for key in found["names"]]
    assert set(held) == set(weights)
    copies = 2 if name == "dualpipe" else 1
    expected = copies * len(weights) + (shape.tied_embeddings and name != "dualpipe")
    assert len(held) == expected  # each weight on one rank, tables and both directions apart


def test_gradients_add_up_over_steps():
    """Two steps without zero_grad give the sum, for what one rank holds and for what two hold."""
    schedule = schedule_named("1f1b", 2, 2)

    def gradients(rank):
        pipeline = Pipeline(model_of(TIED), schedule)
        for step in range(2):
            pipeline.step(*batch(2, step), BASICS.run_cross_entropy)
        return {name: each.grad for name, each in pipeline.named_parameters()}

    model = model_of(TIED)
    for step in range(2):
        ids, targets = batch(2, step)
        BASICS.run_cross_entropy(model(ids), targets).backward()
    wanted = dict(model.named_parameters())
    for found in on_ranks(2, gradients):
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, wanted[name].grad, rtol=0, atol=ATOL, msg=name)


def test_copies_start_as_on_the_lowest_rank():
    schedule = schedule_named("gpipe", 2, 1)

    def tables(rank):
        pipeline = Pipeline(model_of(TIED, seed=rank), schedule)
        return dict(pipeline.named_parameters())["token_embeddings.weight"].detach()

    first, last = on_ranks(2, tables)
    assert torch.equal(first, last)
    assert torch.equal(first, model_of(TIED, seed=0).token_embeddings.weight)


@pytest.mark.parametrize("tied", [False, True])
def test_stages_are_pieces_of_the_model(tied):
    shape = TIED if tied else SHAPE
    model, (ids, _) = model_of(shape), batch(2, 0)
    stages = [Stage(model, index, 3) for index in range(3)]
    features = ids
    for stage in stages:
        features = stage(features)
    torch.testing.assert_close(features, model(ids), rtol=0, atol=ATOL)
    keys = [key for stage in stages for key in stage.state_dict()]
    assert set(keys) == set(model.state_dict())
    assert len(keys) - len(set(keys)) == tied  # the table, at both ends


def test_weight_gradients_can_wait():
    """The input's gradient is there at once, those of the matrices after the work is done, the others at once too."""
    model, twin, (ids, targets) = model_of(TIED), model_of(TIED), batch(3, 0)
    BASICS.run_cross_entropy(twin(ids), targets).backward()
    gradients, stage = WeightGradients(), Stage(model, 0, 1)
    gradients.take_over(stage)
    stage.linear = gradients.linear
    with gradients.put_off() as later:
        BASICS.run_cross_entropy(stage(ids), targets).backward()
    waiting = {name for name, each in model.named_parameters() if each.grad is None}
    assert waiting == {
        name for name, each in model.named_parameters() if each.ndim == 2 and "token" not in name
    }
    assert len(later) == 7 * SHAPE.num_layers + 1  # and the head
    for work in later:
        work()
    for (name, each), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(each.grad, other.grad, rtol=0, atol=ATOL, msg=name)
        assert not each.grad.requires_grad, name  # nothing was recorded, so nothing is kept


@pytest.mark.parametrize("name", ["zero_bubble", "dualpipe"])
def test_more_microbatches_hold_no_more(name):
    """The peak of a step is that of one three times as long, and what it leaves behind are gradients alone."""

    def live_bytes(rank):
        found = []
        for microbatches in (6, 14):
            schedule = schedule_named(name, 2, microbatches)
            pipeline = Pipeline(model_of(SHAPE), schedule)
            ids, targets = batch(2 * microbatches, 0)
            with LiveMemory() as live:
                pipeline.step(ids, targets, BASICS.run_cross_entropy)
            given = ids.untyped_storage().nbytes()  # the batch itself, of which an operation took views
            found.append((live.peak_bytes - given, sum(live.now.values()) - given))
        return found

    for (short_peak, short), (long_peak, long) in on_ranks(2, live_bytes):
        assert long_peak <= short_peak + 8
        # the loss, 8 bytes, may still be in the hands of the thread that sent it; a microbatch's features have 768
        assert long <= short + 8


def posted(rank, schedule):
    """What a rank computes and posts in a step, in order: actions, and messages as "to 1" or "from 1"."""
    events, run, send, receive = [], runtime._Step.run, dist.isend, dist.irecv

    def noted_run(step, action):
        events.append(str(action))
        run(step, action)

    def noted_send(tensor, peer):
        events.append(f"to {peer}")
        return send(tensor, peer)

    def noted_receive(tensor, peer):
        events.append(f"from {peer}")
        return receive(tensor, peer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime._Step, "run", noted_run)
        patch.setattr(dist, "isend", noted_send)
        patch.setattr(dist, "irecv", noted_receive)
        size = 2 * schedule.num_microbatches
        Pipeline(model_of(EIGHT_BLOCKS), schedule).step(*batch(size, 0), BASICS.run_cross_entropy)
    return events


def test_a_receive_is_under_way_while_a_rank_computes():
    """On the last rank the next microbatch travels while this one goes forth and back."""
    _, last = on_ranks(2, posted, schedule_named("1f1b", 2, 3))
    assert last == [
        *("from 0", "F0 of stage 1", "from 0", "B0 of stage 1", "to 0"),
        *("F1 of stage 1", "from 0", "B1 of stage 1", "to 0"),
        *("F2 of stage 1", "B2 of stage 1", "to 0"),
    ]


@pytest.mark.parametrize("name", ["1f1b", "interleaved", "dualpipe"])
def test_both_ends_post_their_messages_in_one_order(name):
    """A send on one side stands where the receive stands on the other, whatever else is done in between."""
    lists = on_ranks(4, posted, schedule_named(name, 4, 8))
    for one, other in itertools.combinations(range(4), 2):
        there = [
            event.split()[0] for event in lists[one] if event.split()[1] == str(other) and "of" not in event
        ]
        back = [
            event.split()[0] for event in lists[other] if event.split()[1] == str(one) and "of" not in event
        ]
        assert [{"to": "from", "from": "to"}[word] for word in there] == back


def test_messages_are_two_for_each_microbatch_and_cut():
    for name, ranks, cuts in (("1f1b", 4, 3), ("interleaved", 4, 7), ("dualpipe", 4, 3)):
        sent = messages(schedule_named(name, ranks, 8))
        assert len(sent) == len(set(sent)) == 2 * cuts * 8


def test_what_cannot_be_cut_is_refused_by_name():
    with pytest.raises(ConfigError, match="5 stages and 4 blocks"):
        Stage(model_of(SHAPE), 0, 5)
    classic = ClassicConfig(vocab_size=13, context_length=6, d_model=8, num_layers=2, num_heads=2, d_ff=12)
    with pytest.raises(ConfigError, match="which stage needs position_embeddings"):
        Stage(BASICS.build_model(classic), 0, 2)

    def wrong_numbers(rank):
        said = []
        for schedule, size in ((schedule_named("gpipe", 3, 2), 2), (schedule_named("gpipe", 2, 2), 3)):
            try:
                Pipeline(model_of(SHAPE), schedule).step(*batch(size, 0), BASICS.run_cross_entropy)
            except (ConfigError, ScheduleError) as error:
                said.append(str(error))
        dist.barrier()
        return said

    for said in on_ranks(2, wrong_numbers):
        assert "is for 3 ranks and there are 2" in said[0]
        assert "3 sequences and 2 microbatches" in said[1]
