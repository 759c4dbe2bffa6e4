"""The ends of a model split by the vocabulary: the numbers of one process, and three for each position sent."""

import dataclasses

import pytest
import torch
from torch import nn

from a2_systems.parallel.tensor_parallel import IntoRanks, gathered, own_piece, own_range
from a2_systems.parallel.vocab_parallel import (
    TensorParallelLM,
    vocab_parallel_cross_entropy,
    vocab_parallel_embedding,
)
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.errors import ConfigError
from tests.harness.ranks import Collectives, on_ranks

BASICS = door("a1_basics")
VOCAB, WIDTH, BATCH, SEQ = 13, 24, 3, 5  # a vocabulary that only 1 divides
SHAPE = ModelConfig(
    vocab_size=VOCAB,
    context_length=SEQ,
    d_model=WIDTH,
    num_layers=2,
    num_heads=12,
    d_ff=36,
    qk_norm=True,
)
TIED = dataclasses.replace(SHAPE, tied_embeddings=True, qkv_bias=True, qk_norm=False)
# float64: the same sums in another order, of numbers near one. A gradient lost or added twice is off by 1e-2.
ATOL = 1e-12


def batch():
    ids = torch.randint(0, VOCAB, (BATCH, SEQ + 1), generator=torch.Generator().manual_seed(5))
    return ids[:, :-1], ids[:, 1:]


def model_of(shape, seed=0):
    torch.manual_seed(seed)
    return BASICS.build_model(shape).double()


def parts(rank):
    """A table and features, the same everywhere, and what is to be made of them."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(VOCAB, WIDTH, generator=generator, dtype=torch.float64)
    features = 30 * torch.randn(BATCH, SEQ, WIDTH, generator=generator, dtype=torch.float64)
    scale = torch.randn(BATCH, SEQ, generator=generator, dtype=torch.float64)
    return table, features, scale


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_each_end_computes_what_the_plain_one_does(num_ranks):
    """Losses, rows, and gradients of features and tables; logits of size 100, whose exponentials would overflow."""
    ids, targets = batch()

    def on_rank(rank):
        table, features, scale = parts(rank)
        mine = own_piece(table, 0).clone().requires_grad_()
        features.requires_grad_()
        nats = vocab_parallel_cross_entropy(IntoRanks.apply(features) @ mine.T, targets, VOCAB)
        (nats * scale).sum().backward()
        head, mine.grad = gathered(mine.grad, 0, VOCAB), None
        rows = vocab_parallel_embedding(ids, mine, VOCAB)
        (rows * features.detach()).sum().backward()
        found = [nats.detach(), features.grad, head, rows.detach(), gathered(mine.grad, 0, VOCAB)]
        return [each.clone() for each in found]

    table, features, scale = (each.requires_grad_() for each in parts(0))
    nats = nn.functional.cross_entropy(
        (features @ table.T).flatten(0, 1), targets.flatten(), reduction="none"
    )
    nats = nats.view_as(targets)
    of_features, of_head = torch.autograd.grad((nats * scale).sum(), [features, table])
    rows = table[ids]
    (of_table,) = torch.autograd.grad((rows * features).sum(), table)
    for found in on_ranks(num_ranks, on_rank):
        for each, wanted in zip(found, (nats, of_features, of_head, rows, of_table), strict=True):
            # the largest numbers are some 500: 1e-13 of them is what float64 keeps through a few sums
            torch.testing.assert_close(each, wanted.detach(), rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize(("num_ranks", "shape"), [(1, SHAPE), (2, TIED), (3, SHAPE), (3, TIED), (4, SHAPE)])
def test_a_split_model_computes_what_a_whole_one_does(num_ranks, shape):
    ids, targets = batch()

    def on_rank(rank):
        model = TensorParallelLM(model_of(shape, seed=rank))
        loss = model.loss(ids, targets)
        loss.backward()
        gradients = {name: model.full_like(name, p.grad) for name, p in model.module.named_parameters()}
        model.zero_grad()
        logits = model(ids)
        BASICS.run_cross_entropy(logits, targets).backward()
        same = {name: model.full_like(name, p.grad) for name, p in model.module.named_parameters()}
        held = model.module.token_embeddings.weight.shape[0]
        weights = model.full_parameters()
        return [
            loss.item(),
            logits.detach(),
            {k: v.clone() for k, v in weights.items()},
            gradients,
            same,
            held,
        ]

    whole = model_of(shape)  # ranks begin apart and take the weights of rank 0
    logits = whole(ids)
    wanted = BASICS.run_cross_entropy(logits, targets)
    wanted.backward()
    results = on_ranks(num_ranks, on_rank)
    for loss, found, weights, gradients, same, _ in results:
        assert loss == pytest.approx(wanted.item(), abs=ATOL)
        torch.testing.assert_close(found, logits.detach(), rtol=0, atol=ATOL)
        assert weights.keys() == dict(whole.named_parameters()).keys()
        for name, each in whole.named_parameters():
            assert torch.equal(weights[name], each.detach()), name
            torch.testing.assert_close(gradients[name], each.grad, rtol=0, atol=ATOL, msg=name)
            torch.testing.assert_close(same[name], each.grad, rtol=0, atol=ATOL, msg=name)
    held = [each[-1] for each in results]
    assert sum(held) == VOCAB
    assert max(held) - min(held) <= 1


def test_messages_are_those_of_the_formula():
    """A sum for the embedding and two for each block, then three numbers for each position; backward no loss's."""
    shape = dataclasses.replace(SHAPE, qk_norm=False)

    def on_rank(rank):
        model, (ids, targets) = TensorParallelLM(model_of(shape)), batch()
        with Collectives() as forward:
            loss = model.loss(ids, targets)
        with Collectives() as backward:
            loss.backward()
        return [forward.calls, backward.calls]

    width, positions = BATCH * SEQ * WIDTH * 8, BATCH * SEQ * 8
    features = [("allreduce", width)]
    for forward, backward in on_ranks(2, on_rank):
        assert [tuple(call) for call in forward] == features * (1 + 2 * shape.num_layers) + [
            ("allreduce", positions),
            ("allreduce", 2 * positions),
        ]
        assert [tuple(call) for call in backward] == features * (1 + 2 * shape.num_layers)


def test_pieces_are_neighbours_and_as_even_as_can_be():
    def on_rank(rank):
        ranges = [own_range(13, each) for each in range(3)]
        whole = torch.arange(26).view(2, 13)
        assert torch.equal(gathered(own_piece(whole, 1), 1, 13), whole)
        return [list(each) for each in ranges]

    assert on_ranks(3, on_rank)[0] == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_what_cannot_be_split_is_refused_by_flag():
    def on_rank(rank):
        said = []
        small, odd = dataclasses.replace(SHAPE, vocab_size=1), dataclasses.replace(SHAPE, d_ff=35)
        for model in (model_of(small), model_of(odd), nn.Sequential(nn.Embedding(7, 2))):
            with pytest.raises(ConfigError) as refused:
                TensorParallelLM(model)
            said.append(str(refused.value))
        model = TensorParallelLM(model_of(SHAPE))
        with pytest.raises(ValueError, match="wanted 0 to 12"):
            model(batch()[0] + 5)
        return said

    for vocabulary, units, parts_missing in on_ranks(2, on_rank):
        assert "--model.vocab-size 1 gives some of 2 ranks no token" in vocabulary
        assert "35 hidden units, which 2 ranks do not divide" in units
        assert "--model.d-ff" in units
        assert "it has no" in parts_missing
