"""The inside of the model: fast paths equal clear ones, options do what they say, attention never looks ahead."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from a1_basics.model.attention import (
    causal_attention,
    causal_mask,
    repeat_kv_heads,
    scaled_dot_product_attention,
    sdpa_attention,
)
from a1_basics.model.bigram import Bigram
from a1_basics.model.fused import fused_rms_norm, fused_silu
from a1_basics.model.layers import Linear, RMSNorm, rms_norm, silu, softmax
from a1_basics.model.rope import RotaryEmbedding, rotate_pairs, rotate_pairs_complex
from a1_basics.model.transformer import TransformerLM
from shared import accounting
from shared.doors.protocols import ModelConfig

SMALL = ModelConfig(vocab_size=50, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64)
OPTIONS = [
    {},
    {"num_kv_heads": 2},
    {"num_kv_heads": 1, "qk_norm": True},
    {"tied_embeddings": True},
    {"qkv_bias": True, "rope_theta": 500_000.0},
    {"head_dim": 12, "num_kv_heads": 2, "qk_norm": True, "qkv_bias": True},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def model_of(**options) -> TransformerLM:
    return TransformerLM(ModelConfig(**{**vars(SMALL), **options}))


@pytest.mark.parametrize("options", OPTIONS)
def test_fused_attention_equals_attention_written_out(options):
    model = model_of(**options)
    token_ids = torch.randint(50, (3, 16))
    # float32, two layers: sums of 16 terms in another order; 1e-5 is 100 units in the last place of the logits.
    torch.testing.assert_close(
        model(token_ids), model(token_ids, attend=causal_attention), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_the_future_changes_nothing(options):
    model = model_of(**options)
    token_ids = torch.randint(50, (2, 16))
    changed = token_ids.clone()
    changed[:, 9:] = torch.randint(50, (2, 7))
    assert not torch.equal(changed, token_ids)
    torch.testing.assert_close(model(token_ids)[:, :9], model(changed)[:, :9], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_parameters_are_as_many_as_the_accounting_says(options):
    model = model_of(**options)
    assert (
        sum(parameter.numel() for parameter in model.parameters())
        == accounting.parameters(model.config).total
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_forward_flops_are_those_that_torch_counts(options):
    model = model_of(**options)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 16, dtype=torch.long), attend=causal_attention)
    assert counter.get_total_flops() == accounting.forward_flops(model.config, 16).total


def test_state_dict_has_the_public_keys():
    block = [
        "attn.q_proj",
        "attn.k_proj",
        "attn.v_proj",
        "attn.output_proj",
        "ln1",
        "ffn.w1",
        "ffn.w2",
        "ffn.w3",
        "ln2",
    ]
    wanted = {f"layers.{layer}.{part}.weight" for layer in range(2) for part in block}
    wanted |= {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    assert set(model_of().state_dict()) == wanted


def test_only_relative_positions_matter():
    model = model_of(context_length=64)
    token_ids = torch.randint(50, (1, 10))
    here = model(token_ids, positions=torch.arange(10)[None])
    there = model(token_ids, positions=torch.arange(37, 47)[None])
    # The angles differ, their differences do not: float32 cosines of angles up to 47 radians agree to about 1e-5.
    torch.testing.assert_close(here, there, atol=2e-4, rtol=1e-4)


def test_a_sequence_beyond_the_context_is_refused_by_size():
    with pytest.raises(ValueError, match=r"17 tokens.*context_length=16"):
        model_of()(torch.zeros(1, 17, dtype=torch.long))


def test_every_parameter_gets_a_gradient():
    model = model_of(num_kv_heads=2, qk_norm=True, qkv_bias=True)
    model(torch.randint(50, (2, 16))).square().mean().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    # A bias on the keys adds the same score to every key of a query: softmax does not see it without RoPE and QK-norm.
    assert all(
        parameter.grad.abs().sum() > 0 for _, parameter in model.named_parameters() if parameter.ndim == 2
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rope_by_complex_numbers_equals_rope_by_pairs(dtype):
    rope = RotaryEmbedding(8, 10_000.0, 32)
    features = torch.randn(2, 3, 5, 8, dtype=dtype)
    turn = (rope.cosines[4:9].to(dtype), rope.sines[4:9].to(dtype))
    torch.testing.assert_close(rotate_pairs_complex(features, *turn), rotate_pairs(features, *turn))


def test_rope_by_complex_numbers_takes_what_a_head_split_leaves():
    features = torch.randn(2, 5, 3 * 8).unflatten(-1, (3, 8)).transpose(1, 2)
    assert not features.is_contiguous()
    rope = RotaryEmbedding(8, 10_000.0, 5)
    torch.testing.assert_close(
        rotate_pairs_complex(features, rope.cosines, rope.sines),
        rotate_pairs(features, rope.cosines, rope.sines),
    )


def test_rope_keeps_the_dtype():
    rope = RotaryEmbedding(8, 10_000.0, 5)
    assert rope(torch.randn(5, 8, dtype=torch.bfloat16), torch.arange(5)).dtype == torch.bfloat16


def test_rms_norm_survives_numbers_whose_squares_overflow_half_precision():
    features = torch.full((4,), 1000.0, dtype=torch.float16)
    assert torch.equal(rms_norm(features, torch.ones(4), 1e-5), torch.ones(4, dtype=torch.float16))


@pytest.mark.parametrize("shape", [(6,), (3, 5, 6)])
def test_fused_rms_norm_has_the_clear_ones_value_and_gradients(shape):
    features = 3 * torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: fused_rms_norm(x, w, 1e-5), (features, weight))
    torch.testing.assert_close(fused_rms_norm(features, weight, 1e-5), rms_norm(features, weight, 1e-5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fused_rms_norm_computes_wide_and_answers_narrow(dtype):
    features = torch.full((2, 4), 1000.0, dtype=dtype, requires_grad=True)
    weight = torch.ones(4, requires_grad=True)
    output = fused_rms_norm(features, weight, 1e-5)
    assert torch.equal(output, torch.ones(2, 4, dtype=dtype))
    output.sum().backward()
    assert features.grad is not None
    assert weight.grad is not None
    assert (features.grad.dtype, weight.grad.dtype) == (dtype, torch.float32)


def test_fused_rms_norm_is_exact_under_autocast():
    features, weight = torch.randn(3, 7, 32), torch.rand(32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow_around = fused_rms_norm(features, weight, 1e-5)
    assert torch.equal(narrow_around, fused_rms_norm(features, weight, 1e-5))


def test_fused_silu_is_silu_where_the_exponential_overflows_too():
    features = torch.tensor([-1e4, -90.0, -1.0, 0.0, 2.0, 1e4], requires_grad=True)
    clear, fused = silu(features), fused_silu(features)
    torch.testing.assert_close(fused, clear)
    ones = torch.ones_like(features)
    torch.testing.assert_close(
        torch.autograd.grad(fused, features, ones), torch.autograd.grad(clear, features, ones)
    )


def test_layers_equal_the_library():
    features = torch.randn(3, 7, 32)
    norm = RMSNorm(32)
    torch.nn.init.uniform_(norm.weight)
    torch.testing.assert_close(norm(features), F.rms_norm(features, (32,), norm.weight, 1e-5))
    torch.testing.assert_close(silu(features), F.silu(features))
    torch.testing.assert_close(softmax(1e4 * features, dim=1), F.softmax(1e4 * features, dim=1))
    layer = Linear(32, 5, bias=True)
    torch.testing.assert_close(layer(features), F.linear(features, layer.weight, layer.bias))


def test_linear_starts_inside_three_deviations():
    weight = Linear(300, 200).weight
    deviation = (2 / 500) ** 0.5
    assert weight.abs().max() <= 3 * deviation
    assert 0.95 < weight.std() / deviation < 1.01  # cutting at three deviations takes 1.3 % off the deviation


def test_one_decode_step_is_the_last_row():
    queries, keys, values = (torch.randn(2, 4, 9, 8) for _ in range(3))
    for attend in (causal_attention, sdpa_attention):
        whole = attend(0, queries, keys, values)
        last = attend(0, queries[:, :, -1:], keys, values)
        torch.testing.assert_close(last, whole[:, :, -1:], atol=1e-6, rtol=1e-5)


def test_a_query_that_may_look_nowhere_reads_zeros_and_passes_no_nan_back():
    queries = torch.randn(1, 2, 4, requires_grad=True)
    mask = torch.tensor([[[False, False, False], [True, False, True]]])
    read = scaled_dot_product_attention(queries, torch.randn(1, 3, 4), torch.randn(1, 3, 4), mask)
    read.sum().backward()
    assert torch.equal(read[0, 0], torch.zeros(4))
    assert queries.grad is not None
    assert bool(queries.grad.isfinite().all())


def test_grouped_heads_share_their_keys():
    states = torch.randn(1, 2, 3, 4)
    repeated = repeat_kv_heads(states, 6)
    assert torch.equal(repeated[:, :3], states[:, :1].expand(-1, 3, -1, -1))
    with pytest.raises(ValueError, match="heads=5 must be a multiple of kv_heads=2"):
        repeat_kv_heads(states, 5)


def test_causal_mask_of_a_continuation_is_the_end_of_the_whole():
    assert torch.equal(causal_mask(2, 7), causal_mask(7, 7)[-2:])


def test_bigram_without_prior_is_the_table_of_frequencies():
    tokens = torch.tensor([0, 1, 0, 1, 0, 2]).numpy()
    model = Bigram.from_counts(tokens, vocab_size=3, prior_strength=1e-12)
    probabilities = model(torch.tensor([[0, 1]])).exp()[0]
    torch.testing.assert_close(
        probabilities, torch.tensor([[0, 2 / 3, 1 / 3], [1.0, 0, 0]]), atol=1e-6, rtol=0
    )


def test_bigram_counts_across_chunks_once():
    tokens = torch.randint(7, (1000,)).numpy()
    whole = Bigram.from_counts(tokens, 7)
    assert torch.equal(
        whole.log_probabilities, Bigram.from_counts(tokens, 7, chunk_tokens=13).log_probabilities
    )
    torch.testing.assert_close(whole.log_probabilities.exp().sum(dim=1), torch.ones(7))
