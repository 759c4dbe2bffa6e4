"""Variants differ from the model in what their name says and nothing else; float16 loses what its scale saves."""

import dataclasses
from typing import Any

import pytest
import torch

from a1_basics import adapters
from a1_basics.model.attention import causal_attention
from a1_basics.model.layers import RMSNorm
from a1_basics.model.transformer import TransformerLM
from a1_basics.model.variants import no_norm, no_positions, post_norm, silu_feed_forward
from a1_basics.training import half_precision
from a1_basics.training.adamw import AdamW
from a1_basics.training.step import TrainState
from shared.doors.protocols import ModelConfig, TrainJob

CONFIG = ModelConfig(64, context_length=12, d_model=24, num_layers=2, num_heads=2, d_ff=64)
BUILDS = [no_norm.build, no_positions.build, post_norm.build, silu_feed_forward.build]
TOKENS = torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(0))


def seeded_model(build, config=CONFIG):
    torch.manual_seed(0)
    return build(config)


@pytest.mark.parametrize("build", BUILDS)
def test_a_variant_begins_where_the_model_does(build):
    model, variant = seeded_model(TransformerLM).state_dict(), seeded_model(build).state_dict()
    common = [name for name in model if name in variant and model[name].shape == variant[name].shape]
    assert {"token_embeddings.weight", "lm_head.weight", "layers.1.attn.q_proj.weight"} <= set(common)
    assert all(torch.equal(model[name], variant[name]) for name in common)
    with torch.no_grad():
        assert not torch.allclose(seeded_model(TransformerLM)(TOKENS), seeded_model(build)(TOKENS), atol=1e-3)


def test_no_norm_has_none_and_post_norm_has_one_less():
    norms = {
        build: sum(isinstance(part, RMSNorm) for part in seeded_model(build).modules())
        for build in (TransformerLM, no_norm.build, post_norm.build)
    }
    assert norms == {TransformerLM: 5, no_norm.build: 0, post_norm.build: 4}


def test_the_residual_stream_after_a_post_norm_block_has_unit_size():
    sizes = []
    model: Any = seeded_model(post_norm.build)
    for block in model.layers:
        block.register_forward_hook(lambda *given: sizes.append(given[2].square().mean(-1)))
    with torch.no_grad():
        model(TOKENS)
    for size in sizes:
        torch.testing.assert_close(size, torch.ones_like(size), atol=1e-4, rtol=0)  # eps under the root


def test_without_positions_one_layer_reads_its_past_as_a_set():
    one_layer = dataclasses.replace(CONFIG, num_layers=1)
    shuffled = TOKENS.clone()
    shuffled[:, :11] = TOKENS[:, torch.randperm(11, generator=torch.Generator().manual_seed(1))]
    for build, is_blind in ((no_positions.build, True), (TransformerLM, False)):
        model = seeded_model(build, one_layer)
        with torch.no_grad():
            before, after = model(TOKENS)[:, -1], model(shuffled)[:, -1]
        assert torch.allclose(before, after, atol=1e-5) is is_blind  # float32 sums in another order


def test_the_ungated_feed_forward_costs_as_much_as_the_gated_one():
    wide = dataclasses.replace(CONFIG, d_model=48, d_ff=128)  # 3 * 128 = 2 * 4 * 48
    gated, plain = (seeded_model(build, wide) for build in (TransformerLM, silu_feed_forward.build))
    assert sum(p.numel() for p in gated.parameters()) == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("build", [TransformerLM, *BUILDS])
@pytest.mark.parametrize("attend", [None, causal_attention])
def test_the_future_is_not_seen(build, attend):
    """Zeroing the tokens after a position leaves every logit up to it as it was, bit for bit."""
    model = seeded_model(build)
    with torch.no_grad():
        whole = model(TOKENS, attend=attend)
        for position in range(TOKENS.shape[1] - 1):
            cut = TOKENS.clone()
            cut[:, position + 1 :] = 0
            logits = model(cut, attend=attend)
            assert torch.equal(logits[:, : position + 1], whole[:, : position + 1])
            assert not torch.equal(logits[:, position + 1 :], whole[:, position + 1 :])


# --- float16 ---

JOB = TrainJob(CONFIG, "none", warmup_steps=0, device="cpu")
BATCH = (TOKENS, TOKENS.roll(-1, dims=1))


def gradients_of(backward) -> torch.Tensor:
    model = seeded_model(TransformerLM)
    backward(model)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])  # type: ignore[union-attr]


def test_a_loss_scale_saves_the_gradients_that_float16_loses():
    def in_float32(model):
        logits = model(BATCH[0])
        adapters.run_cross_entropy(logits.flatten(0, -2), BATCH[1].flatten()).backward()

    def in_float16(scale):
        return lambda model: half_precision.backward_in_float16(adapters, model, BATCH, None, scale=scale)

    wanted = gradients_of(in_float32)
    unscaled, scaled = gradients_of(in_float16(1.0)), gradients_of(in_float16(2.0**16))
    assert (unscaled[wanted != 0] == 0).float().mean() > 0.3  # gone for good
    assert (
        scaled - wanted
    ).norm() < 0.01 * wanted.norm()  # float16 keeps 11 bits: one part in 2000, over some layers
    assert (unscaled - wanted).norm() > 0.1 * wanted.norm()


def test_a_step_that_overflows_is_left_out_and_halves_the_scale(tmp_path):
    model = seeded_model(TransformerLM)
    state = TrainState(model, AdamW(model.parameters(), lr=1e-2), memory={"loss_scale": 2.0**60})
    step = half_precision.scaled_float16_step(adapters, JOB, None, torch.float16)  # type: ignore[arg-type]
    before = [parameter.clone() for parameter in model.parameters()]
    state, metrics = step(state, BATCH)
    assert state.memory["loss_scale"] == 2.0**59
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert metrics["loss_nats"] > 0
    state.memory["loss_scale"] = 2.0**16
    for _ in range(half_precision.STEPS_TO_DOUBLE):
        state, metrics = step(state, BATCH)
    assert state.memory["loss_scale"] == 2.0**17
    assert metrics["gradient_norm"] > 0
    state.save(tmp_path)
    again = TrainState(model, AdamW(model.parameters(), lr=1e-2))
    again.load(tmp_path)
    assert again.memory == state.memory
