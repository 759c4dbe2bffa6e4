"""The ladder as models: each rung is what it says, none sees the future, and the last is this workspace's own model."""

import dataclasses
from itertools import pairwise

import pytest
import torch

from a1_basics.model.attention import causal_attention
from a1_basics.model.bigram import Bigram
from a1_basics.model.rungs import LADDER, Rung, Shape, gated_width
from a1_basics.model.transformer import TransformerLM
from shared.doors.protocols import ModelConfig

SHAPE = Shape(vocab_size=20, context_length=16, d_model=32, num_layers=2, num_heads=4, num_kv_heads=2)
RUNGS = {rung.name: rung for rung in LADDER}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def model_of(rung: Rung):
    return rung.parts.build(SHAPE).eval()


def tokens() -> torch.Tensor:
    return torch.randint(20, (2, 16))


@pytest.mark.parametrize("rung", LADDER, ids=RUNGS)
def test_the_future_changes_nothing_and_the_present_does(rung):
    model, token_ids = model_of(rung), tokens()
    changed = token_ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 20
    before, after = model(token_ids), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[:, 9:], after[:, 9:])


@pytest.mark.parametrize("rung", LADDER, ids=RUNGS)
def test_fused_attention_equals_attention_written_out(rung):
    model, token_ids = model_of(rung), tokens()
    torch.testing.assert_close(
        model(token_ids), model(token_ids, attend=causal_attention), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("rung", LADDER, ids=RUNGS)
def test_every_parameter_learns(rung):
    model = rung.parts.build(SHAPE)
    model(tokens()).square().mean().backward()
    still = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not still


def test_each_rung_changes_one_thing():
    def facts(rung: Rung) -> dict[str, object]:
        parts = {field.name: getattr(rung.parts, field.name) for field in dataclasses.fields(rung.parts)}
        return parts | {"optimizer": rung.optimizer}

    changed = []
    for before, after in pairwise(LADDER):
        old, new = facts(before), facts(after)
        changed.append({key for key in old if old[key] != new[key]})
    assert changed == [
        {"mixer"},
        {"mixer", "learns_positions"},  # without positions a head cannot tell near from far
        {"mixer"},
        {"feed_forward"},
        {"norm"},
        {"drops"},
        {"norm"},
        {"learns_positions", "turns_positions"},  # one kind of position for the other
        {"feed_forward"},
        {"mixer"},
        {"mixer"},
        {"optimizer"},
    ]


def test_a_neural_bigram_can_be_the_counted_one():
    rung, shape = RUNGS["neural bigram"], dataclasses.replace(SHAPE, d_model=20)
    counted = Bigram.from_counts(torch.randint(20, (500,)).numpy(), 20)
    model = rung.parts.build(shape)
    with torch.no_grad():
        model.token_embeddings.weight.copy_(counted.log_probabilities)
        model.lm_head.weight.copy_(torch.eye(20))
    token_ids = tokens()
    torch.testing.assert_close(model(token_ids), counted(token_ids))


def test_a_bag_of_words_has_no_order_and_a_head_has():
    token_ids = tokens()
    shuffled = token_ids.clone()
    shuffled[:, :15] = token_ids[:, :15].flip(1)  # the last token stays the last
    bag, head = model_of(RUNGS["averaging"]), model_of(RUNGS["one head"])
    torch.testing.assert_close(bag(token_ids)[:, -1], bag(shuffled)[:, -1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(head(token_ids)[:, -1], head(shuffled)[:, -1], atol=1e-3)


def test_averaging_is_attention_whose_scores_are_equal():
    bag, head = model_of(RUNGS["averaging"]), model_of(RUNGS["one head"])
    token_ids = tokens()
    with torch.no_grad():
        attention = head.layers[0].attn
        for vanishing in (attention.q_proj.weight, head.position_embeddings.weight):
            vanishing.zero_()
        attention.v_proj.weight.copy_(torch.eye(32))
        head.token_embeddings.weight.copy_(bag.token_embeddings.weight)
        head.lm_head.weight.copy_(bag.lm_head.weight)
        attention.output_proj.weight.copy_(bag.layers[0].attn.output_proj.weight)
    torch.testing.assert_close(head(token_ids), bag(token_ids), atol=1e-5, rtol=1e-5)


def test_dropout_changes_training_alone():
    plain, dropping = model_of(RUNGS["residual + LayerNorm"]), model_of(RUNGS["dropout"])
    dropping.load_state_dict(plain.state_dict())
    token_ids = tokens()
    assert torch.equal(plain(token_ids), dropping(token_ids))
    assert not torch.equal(plain(token_ids), dropping.train()(token_ids))


@pytest.mark.parametrize(("name", "options"), [("GQA", {}), ("QK-norm", {"qk_norm": True})])
def test_the_upper_rungs_are_the_workspaces_own_transformer(name, options):
    model = model_of(RUNGS[name])
    own = TransformerLM(ModelConfig(20, 16, 32, 2, 4, gated_width(32), num_kv_heads=2, **options))
    own.load_state_dict(model.state_dict())  # the same names, the same shapes
    token_ids = tokens()
    torch.testing.assert_close(model(token_ids), own(token_ids), atol=1e-6, rtol=1e-6)


def test_multi_head_and_one_head_cost_the_same():
    counts = [
        sum(parameter.numel() for parameter in model_of(RUNGS[name]).parameters())
        for name in ("one head", "multi-head")
    ]
    assert counts[0] == counts[1]


def test_a_sequence_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="context_length=16"):
        model_of(LADDER[-1])(torch.zeros(1, 17, dtype=torch.long))
