"""Matrices split over ranks: logits, loss and gradients of one process, with as many messages as the formula says."""

import dataclasses

import pytest
import torch
from torch import nn

from a2_systems.parallel.tensor_parallel import TensorParallel
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.errors import ConfigError
from tests.harness.ranks import Collectives, on_ranks

BASICS = door("a1_basics")
SHAPE = ModelConfig(
    vocab_size=13,
    context_length=8,
    d_model=16,
    num_layers=2,
    num_heads=4,
    d_ff=12,
    num_kv_heads=4,
    qk_norm=True,
)
GROUPED = dataclasses.replace(SHAPE, num_kv_heads=2, qkv_bias=True, tied_embeddings=True, qk_norm=False)
# float64: the same sums in another order, of numbers near one. A gradient lost or added twice is off by 1e-2.
ATOL = 1e-12
BATCH, SEQ = 3, 8


def model_of(shape: ModelConfig, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return BASICS.build_model(shape).double()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 13, (BATCH, SEQ + 1), generator=torch.Generator().manual_seed(5))
    return ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize(
    ("num_ranks", "shape", "is_sequence_split"),
    [
        (2, GROUPED, False),
        (4, SHAPE, False),
        (2, SHAPE, True),
        (2, GROUPED, True),
        (4, SHAPE, True),
        (1, SHAPE, True),
    ],
)
def test_split_matrices_compute_what_whole_ones_do(num_ranks, shape, is_sequence_split):
    ids, targets = batch()

    def on_rank(rank):
        model = TensorParallel(model_of(shape, seed=rank), is_sequence_split=is_sequence_split)
        held = sum(each.numel() for each in model.parameters())
        logits = model(ids)
        loss = BASICS.run_cross_entropy(logits, targets)
        loss.backward()
        weights = model.full_parameters()
        for parameter in model.parameters():
            parameter.data = parameter.grad
        return {
            "logits": logits.detach(),
            "loss": loss.item(),
            "weights": weights,
            "gradients": model.full_parameters(),
            "held": held,
        }

    whole = model_of(shape, seed=0)  # ranks begin apart and take the weights of rank 0
    logits = whole(ids)
    loss = BASICS.run_cross_entropy(logits, targets)
    loss.backward()
    matrices = sum(
        each.numel() for name, each in whole.named_parameters() if "_proj" in name or "ffn" in name
    )
    rest = sum(each.numel() for each in whole.parameters()) - matrices
    for found in on_ranks(num_ranks, on_rank):
        torch.testing.assert_close(found["logits"], logits.detach(), rtol=0, atol=ATOL)
        assert found["loss"] == pytest.approx(loss.item(), abs=ATOL)
        assert found["weights"].keys() == dict(whole.named_parameters()).keys()
        for name, each in whole.named_parameters():
            assert torch.equal(found["weights"][name], each.detach()), name
            torch.testing.assert_close(found["gradients"][name], each.grad, rtol=0, atol=ATOL, msg=name)
        assert found["held"] == rest + matrices // num_ranks


@pytest.mark.parametrize("is_sequence_split", [False, True])
def test_messages_are_those_of_the_formula(is_sequence_split):
    """Four for each block and step, of batch x seq x d_model numbers; split, as many halves of twice the number."""
    shape = dataclasses.replace(SHAPE, qk_norm=False)

    def on_rank(rank):
        model, (ids, _) = TensorParallel(model_of(shape), is_sequence_split=is_sequence_split), batch()
        with Collectives() as forward:
            logits = model(ids)
        with Collectives() as backward:
            logits.sum().backward()
        return [
            {name: [calls.count(name), calls.sent_bytes(name)] for name, _ in calls.calls}
            for calls in (forward, backward)
        ]

    blocks, whole = shape.num_layers, BATCH * SEQ * shape.d_model * 8
    gains = 2 * blocks + 1
    if is_sequence_split:
        wanted = [
            {"allgather_base": [2 * blocks + 1, (2 * blocks + 1) * whole]},
            {"allgather_base": [2 * blocks + 1, (2 * blocks + 1) * whole]},
        ]
        for each in wanted:
            each["reduce_scatter_base"] = [2 * blocks, 2 * blocks * whole]
        wanted[1]["allreduce"] = [gains, gains * shape.d_model * 8]
    else:
        wanted = [{"allreduce": [2 * blocks, 2 * blocks * whole]}] * 2
    for found in on_ranks(2, on_rank):
        assert found == wanted


def test_norms_see_a_share_of_the_positions():
    def on_rank(rank):
        model, seen = TensorParallel(model_of(SHAPE), is_sequence_split=True), []
        for block in model.module.layers:
            block.ln2.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
        model(batch()[0])
        return seen

    assert on_ranks(4, on_rank) == [[SEQ // 4] * SHAPE.num_layers] * 4


def test_full_weights_load_and_a_wrong_set_is_refused():
    def on_rank(rank):
        model, other = TensorParallel(model_of(GROUPED)), model_of(GROUPED, seed=9)
        model.load_full_parameters(dict(other.named_parameters()))
        assert torch.allclose(model(batch()[0]), other(batch()[0]), rtol=0, atol=ATOL)
        with pytest.raises(ConfigError, match="not the model's parameters"):
            model.load_full_parameters({})

    on_ranks(2, on_rank)


def test_what_ranks_do_not_divide_is_refused_by_name():
    def on_rank(rank):
        said = []
        for shape in (GROUPED, dataclasses.replace(SHAPE, d_ff=10)):
            model = model_of(shape)
            with pytest.raises(ConfigError) as refused:
                TensorParallel(model)
            model(batch()[0])  # it is as whole as it was
            said.append(str(refused.value))
        with pytest.raises(ConfigError, match="7 positions cannot be split over 4"):
            TensorParallel(model_of(SHAPE), is_sequence_split=True)(batch()[0][:, :7])
        return said

    for grouped, units in on_ranks(4, on_rank):
        assert "k_proj has 2 heads, which 4 ranks do not divide" in grouped
        assert "w1 has 10 hidden units, which 4 ranks do not divide" in units
