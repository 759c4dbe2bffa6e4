"""The classic parts: clear = fast, dropout inert in evaluation, and the whole equal to Hugging Face's GPT-2."""

import pytest
import torch
from torch import Tensor

from a1_basics.model.attention import causal_attention
from a1_basics.model.classic import (
    ClassicConfig,
    ClassicLM,
    Dropout,
    LayerNorm,
    fused_gelu,
    gelu,
    layer_norm,
)
from a1_basics.training.adamw import AdamW
from a1_basics.training.loss import cross_entropy

SMALL = ClassicConfig(vocab_size=50, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=128)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_layer_norm_equals_its_clear_twin_and_its_definition_in_float64():
    features, norm = 3 * torch.randn(4, 7, 32) + 5, LayerNorm(32)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    clear = layer_norm(features, norm.weight, norm.bias, norm.eps)
    wide = features.double()
    oracle = (wide - wide.mean(-1, keepdim=True)) / (
        wide.var(-1, correction=0, keepdim=True) + norm.eps
    ).sqrt()
    oracle = oracle * norm.weight.double() + norm.bias.double()
    # Means of 32 float32 numbers near 5 are exact to 5e-7; divided by a deviation of 3 and scaled by up to 2.
    torch.testing.assert_close(clear.double(), oracle, atol=3e-6, rtol=1e-5)
    torch.testing.assert_close(norm(features), clear, atol=3e-6, rtol=1e-5)


def test_layer_norm_sees_neither_offset_nor_scale():
    features, ones, zeros = torch.randn(3, 32, dtype=torch.float64), torch.ones(32), torch.zeros(32)
    plain = layer_norm(features, ones, zeros, eps=0.0)
    torch.testing.assert_close(layer_norm(100 * features + 7, ones, zeros, eps=0.0), plain)
    torch.testing.assert_close(plain.mean(-1), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(plain.square().mean(-1), torch.ones(3, dtype=torch.float64))


def test_layer_norm_of_large_half_precision_numbers_does_not_overflow():
    features = 1000 * torch.randn(3, 32).to(torch.float16)  # their squares exceed 65,504
    normed = layer_norm(features, torch.ones(32), torch.zeros(32), eps=1e-5)
    assert normed.dtype == torch.float16
    assert normed.isfinite().all()


def test_gelu_equals_its_fast_twin_and_lies_near_the_normal_distribution_function():
    features = torch.linspace(-6, 6, 401, dtype=torch.float64)
    torch.testing.assert_close(fused_gelu(features), gelu(features), atol=1e-12, rtol=1e-12)
    exact = features * torch.special.ndtr(features)
    assert (gelu(features) - exact).abs().max() < 5e-4  # the tanh formula's own error, at |x| near 2
    assert gelu(torch.tensor(0.0)) == 0


def test_dropout_is_inert_in_evaluation_and_at_zero():
    features = torch.randn(5, 7)
    assert Dropout(0.5).eval()(features) is features
    assert Dropout(0.0).train()(features) is features


def test_dropout_zeroes_its_fraction_and_keeps_the_mean():
    dropped = Dropout(0.25).train()(torch.ones(200, 500))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    # A fraction of 100,000 coins deviates by more than five of its standard deviations once in two million seeds.
    assert abs((dropped == 0).float().mean().item() - 0.25) < 5 * (0.25 * 0.75 / 1e5) ** 0.5


def test_dropout_drops_gradients_where_it_dropped_numbers():
    features = torch.ones(40, requires_grad=True)
    dropped = Dropout(0.5).train()(features)
    dropped.sum().backward()
    assert torch.equal(features.grad, dropped.detach())


@pytest.mark.parametrize("wrong", [-0.1, 1.0, 1.5])
def test_dropout_refuses_what_is_no_fraction(wrong):
    with pytest.raises(ValueError, match="drop_fraction"):
        Dropout(wrong)


def test_dropout_in_the_model_changes_training_and_not_evaluation():
    plain, dropping = ClassicLM(SMALL), ClassicLM(ClassicConfig(**{**vars(SMALL), "dropout": 0.3}))
    dropping.load_state_dict(plain.state_dict())
    token_ids = torch.randint(50, (2, 16))
    assert torch.equal(plain.eval()(token_ids), dropping.eval()(token_ids))
    assert torch.equal(plain.train()(token_ids), plain.eval()(token_ids))
    dropping.train()
    assert not torch.equal(dropping(token_ids), dropping(token_ids))


def test_the_future_changes_nothing_and_fused_attention_equals_attention_written_out():
    model = ClassicLM(SMALL)
    token_ids = torch.randint(50, (2, 16))
    changed = token_ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 50
    torch.testing.assert_close(model(token_ids)[:, :9], model(changed)[:, :9], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        model(token_ids), model(token_ids, attend=causal_attention), atol=1e-5, rtol=1e-5
    )


def test_positions_tell_equal_tokens_apart_and_may_be_given():
    model = ClassicLM(SMALL)
    same = torch.full((1, 8), 3)
    logits = model(same)
    assert not torch.allclose(logits[0, 0], logits[0, 7])
    positions = torch.arange(8)[None]
    assert torch.equal(model(same, positions), logits)
    # Every token at position 0 is every token alone: attention then averages equal values.
    alone = model(same, torch.zeros_like(positions))
    torch.testing.assert_close(alone[0, 7], logits[0, 0], atol=1e-6, rtol=1e-5)


def test_a_sequence_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="context_length=16"):
        ClassicLM(SMALL)(torch.zeros(1, 17, dtype=torch.long))


def test_gpt2_has_its_published_number_of_parameters():
    few = (
        7  # tokens: a row of the table is d_model numbers, which can be counted without making 50,257 of them
    )
    tables, with_a_layer = (
        sum(
            parameter.numel()
            for parameter in ClassicLM(ClassicConfig(vocab_size=few, num_layers=num_layers)).parameters()
        )
        for num_layers in (0, 1)
    )
    whole = tables + 768 * (50_257 - few) + 12 * (with_a_layer - tables)
    assert whole == 124_439_808  # the release known as "124M"


def hugging_face_twin(model: ClassicLM):
    """GPT2LMHeadModel with our weights: its projections are stored transposed, queries, keys and values as one."""
    transformers = pytest.importorskip("transformers", reason="not checked: needs the extra `hf`")
    config = model.config
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            n_inner=config.d_ff,
            layer_norm_epsilon=config.norm_eps,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    ours = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    table = ours["token_embeddings.weight"]
    renamed = {
        "transformer.wte.weight": table,
        "lm_head.weight": table,
        "transformer.wpe.weight": ours["position_embeddings.weight"],
    }
    for part in ("weight", "bias"):
        renamed[f"transformer.ln_f.{part}"] = ours[f"ln_final.{part}"]
        for layer in range(config.num_layers):
            mine, yours = f"layers.{layer}.", f"transformer.h.{layer}."
            projections = [ours[f"{mine}attn.{name}_proj.{part}"] for name in "qkv"]
            renamed |= {
                f"{yours}attn.c_attn.{part}": torch.cat(projections).t(),
                f"{yours}attn.c_proj.{part}": ours[f"{mine}attn.output_proj.{part}"].t(),
                f"{yours}mlp.c_fc.{part}": ours[f"{mine}ffn.w1.{part}"].t(),
                f"{yours}mlp.c_proj.{part}": ours[f"{mine}ffn.w2.{part}"].t(),
                f"{yours}ln_1.{part}": ours[f"{mine}ln1.{part}"],
                f"{yours}ln_2.{part}": ours[f"{mine}ln2.{part}"],
            }
    theirs.load_state_dict({name: tensor.contiguous() for name, tensor in renamed.items()})
    return theirs


def trained(model: torch.nn.Module, logits_of, steps: int) -> list[float]:
    """The loss before each step, on batches that only the step decides."""
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        # Tokens that follow from one another, so that there is something to learn.
        strides = torch.randint(1, 4, (4, 17), generator=generator)
        tokens = strides.cumsum(dim=1) % SMALL.vocab_size
        optimizer.zero_grad()
        loss = cross_entropy(logits_of(tokens[:, :-1]), tokens[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_logits_equal_those_of_hugging_face():
    model = ClassicLM(SMALL)
    with (
        torch.no_grad()
    ):  # gains, offsets and biases start at one and zero: a mix-up among them would not show
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = hugging_face_twin(model).eval()
    token_ids = torch.randint(50, (3, 16))
    expected: Tensor = theirs(token_ids).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(model.eval()(token_ids), expected, atol=1e-4, rtol=1e-4)


def test_the_training_curve_equals_that_of_hugging_face():
    model = ClassicLM(SMALL)
    theirs = hugging_face_twin(model).train()
    ours = trained(model.train(), model, steps=60)
    expected = trained(theirs, lambda token_ids: theirs(token_ids, use_cache=False).logits, steps=60)
    assert expected[-1] < expected[0] - 1  # something was learned
    # Float32 sums in another order: 1e-7 per step, which sixty steps of a falling loss amplify a hundredfold.
    assert ours == pytest.approx(expected, abs=1e-4)
