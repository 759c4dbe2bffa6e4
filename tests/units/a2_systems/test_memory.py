"""Bytes counted as they come and go, against formulas that say what they must be."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from a1_basics.adapters import build_model, get_adamw_cls
from a2_systems.measure.memory import (
    ACTIVATIONS,
    GRADIENTS,
    OPTIMIZER,
    PARAMETERS,
    KeptBytes,
    LiveMemory,
    cuda_snapshot,
    predicted_bytes,
)
from shared import accounting
from shared.device import autocast
from shared.doors.protocols import ModelConfig

SHAPES = {
    "one block": ModelConfig(50, 32, 16, 1, 2, 40),
    "deep": ModelConfig(30, 32, 32, 4, 4, 88),
    "wide heads": ModelConfig(30, 32, 16, 2, 2, 40, head_dim=12),
    "tied": ModelConfig(30, 32, 16, 1, 2, 40, tied_embeddings=True),
    "grouped": ModelConfig(30, 32, 32, 2, 4, 88, num_kv_heads=2),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("batch", "seq"), [(1, 7), (3, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predicted_bytes_are_those_of_a_real_step(name, batch, seq, dtype):
    config = SHAPES[name]
    model = build_model(config)
    optimizer = get_adamw_cls()(model.parameters())
    ids = torch.randint(0, config.vocab_size, (batch, seq))
    targets = torch.randint(0, config.vocab_size, (batch, seq))
    predicted = predicted_bytes(config, batch, seq, dtype)
    tables = sum(each.nbytes for each in model.buffers())  # RoPE's, no parameters
    counters = 4 * len([*model.parameters()])  # AdamW counts the steps of each parameter in a float32
    with LiveMemory() as live:
        live.own(model, optimizer)
        assert live.now[PARAMETERS] == predicted[PARAMETERS] + tables
        with KeptBytes(model) as kept:
            with autocast(ids.device, dtype):
                logits = model(ids)
            loss = cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
            del logits
            assert kept.now_bytes == predicted[ACTIVATIONS]
            loss.backward()
        del loss
        optimizer.step()
        live.sort(model, optimizer)
        assert live.now == {
            PARAMETERS: predicted[PARAMETERS] + tables,
            GRADIENTS: predicted[GRADIENTS],
            OPTIMIZER: predicted[OPTIMIZER] + counters,
            ACTIVATIONS: 0,  # the batch came from outside, its views too
        }
        optimizer.zero_grad(set_to_none=True)
        assert live.now[GRADIENTS] == 0


def test_the_backward_pass_begins_with_logits_and_their_gradients():
    """The peak of a step whose vocabulary is large: what is kept, the logits, their gradients."""
    config = ModelConfig(4000, 32, 16, 1, 2, 40)
    model = build_model(config)
    optimizer = get_adamw_cls()(model.parameters())
    ids = torch.randint(0, config.vocab_size, (4, 32))
    with LiveMemory() as live:
        live.own(model, optimizer)
        weights = live.now[PARAMETERS]
        with autocast(ids.device, torch.bfloat16):
            logits = model(ids)
        cross_entropy(logits.flatten(0, -2).float(), ids.flatten()).backward()
    predicted = accounting.autocast_step_bytes(config, 4, 32)
    assert live.peak_bytes - weights == pytest.approx(predicted, rel=0.02)  # beside them, small temporaries


def test_the_peak_and_what_it_was_made_of():
    with LiveMemory() as live:
        live.phase = "first"
        a = torch.ones(1000)  # 4,000 bytes
        b = a * 2  # 8,000
        del a  # 4,000
        live.phase = "second"
        c = b[:10]  # a view takes nothing
        d = torch.cat([b, b])  # 12,000, the peak
        del b, c, d
    assert live.peak_bytes == 12_000
    assert live.at_peak[ACTIVATIONS] == 12_000
    assert [total for _, total in live.timeline] == [4000, 8000, 4000, 12_000, 8000, 0]
    assert [phase for phase, _ in live.timeline] == ["first"] * 3 + ["second"] * 3


def test_a_storage_kept_twice_counts_once_and_a_view_as_a_whole():
    x = torch.randn(10, 10, requires_grad=True)
    with KeptBytes() as kept:
        y = x.exp()  # keeps its result: 400 bytes
        z = y[0] * y[1]  # keeps two views of that
        assert kept.now_bytes == 400
        z.sum().backward()
        assert kept.now_bytes == 0
    assert kept.peak_bytes == 400


def test_parameters_are_not_activations():
    layer = nn.Linear(8, 8)
    x = torch.randn(2, 8)
    with KeptBytes(layer) as kept:
        layer(x).sum().backward()
    assert kept.peak_bytes == x.nbytes


def test_without_cuda_there_is_no_snapshot(tmp_path):
    with cuda_snapshot(tmp_path / "memory.pickle"):
        torch.ones(3)
    assert (tmp_path / "memory.pickle").exists() == torch.cuda.is_available()
