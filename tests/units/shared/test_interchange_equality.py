"""Hugging Face's own code computes what ours does, from the same directory, in both directions."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from a1_basics import adapters as basics
from shared.doors.protocols import ClassicConfig, ModelConfig, ModelShape
from shared.errors import DataError
from shared.interchange import huggingface, llama_layout

transformers: Any = pytest.importorskip(
    "transformers", reason="not checked: transformers is not installed (make setup EXTRAS=hf)"
)

SMALL = ModelConfig(vocab_size=50, context_length=64, d_model=32, num_layers=2, num_heads=4, d_ff=48)
FAMILIES = {
    "LlamaForCausalLM": [
        {},
        {"num_kv_heads": 2, "tied_embeddings": True, "rope_theta": 500_000.0, "norm_eps": 1e-3},
        {"head_dim": 16},
    ],
    "Qwen2ForCausalLM": [{"qkv_bias": True, "num_kv_heads": 1}, {"qkv_bias": True, "tied_embeddings": True}],
    "Qwen3ForCausalLM": [
        {"qk_norm": True, "head_dim": 12, "num_kv_heads": 2, "norm_eps": 1e-3},
        {"qk_norm": True, "qkv_bias": True, "d_model": 30, "head_dim": 10},
    ],
}
SHAPES: list[tuple[str, ModelShape]] = [
    (name, dataclasses.replace(SMALL, **options)) for name, cases in FAMILIES.items() for options in cases
]
TURNED = list(SHAPES)  # those with RoPE
SHAPES.append(("GPT2LMHeadModel", ClassicConfig(50, 64, d_model=32, num_layers=2, num_heads=4, d_ff=48)))
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
"""Logits of size ten from two layers of float32 sums in another order differ by about 1e-6."""

SHAPE = {
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}
GPT2_SHAPE = {"vocab_size": 50, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
THEIRS = [
    ("Llama", {"num_key_value_heads": 4}),
    ("Llama", {"head_dim": 6, "tie_word_embeddings": True}),
    ("Llama", {"attention_bias": True}),
    ("Qwen2", {}),
    ("Qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    ("Qwen3", {"head_dim": 24}),
    ("Qwen3", {"head_dim": 8, "tie_word_embeddings": True, "attention_bias": True}),
    ("GPT2", {}),
    ("GPT2", {"n_inner": 40, "layer_norm_epsilon": 1e-3}),
]


@pytest.fixture(scope="module")
def token_ids() -> torch.Tensor:
    return torch.randint(50, (3, 64), generator=torch.Generator().manual_seed(1))


def stir(model: torch.nn.Module) -> torch.nn.Module:
    """Random weights large enough that attention is sharp, biases and gains included: a mistake anywhere is seen."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 3 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.5
            parameter.copy_(noise * scale + ("norm" in name or ".ln" in name))
    return model.eval()


def load_theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def load_ours(folder: Path) -> torch.nn.Module:
    config, weights = huggingface.read_model(folder)
    model = basics.build_model(config)
    model.load_state_dict(weights)
    return model.eval()


def theirs_at_random(family: str, options: dict) -> Any:
    is_gpt2 = family == "GPT2"
    config = getattr(transformers, f"{family}Config")(**(GPT2_SHAPE if is_gpt2 else SHAPE) | options)
    model: Any = getattr(transformers, f"{family}LMHeadModel" if is_gpt2 else f"{family}ForCausalLM")(config)
    stir(model)
    for name, parameter in model.named_parameters():
        if name.endswith("o_proj.bias"):  # ours has none: zero is what we can hold
            torch.nn.init.zeros_(parameter)
    return model


@torch.no_grad()
@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_our_export_has_our_logits_there(tmp_path, token_ids, name, shape):
    ours = stir(basics.build_model(shape))
    huggingface.write_model(tmp_path, ours.config, ours.state_dict(), max_shard_bytes=20_000)  # type: ignore[arg-type]
    theirs = load_theirs(tmp_path)
    assert type(theirs).__name__ == name
    torch.testing.assert_close(theirs(token_ids).logits, ours(token_ids), **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize(("family", "options"), THEIRS)
def test_their_checkpoint_has_their_logits_here(tmp_path, token_ids, family, options):
    theirs = theirs_at_random(family, options)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    torch.testing.assert_close(load_ours(tmp_path)(token_ids), theirs(token_ids).logits, **TOLERANCE)


@torch.no_grad()
def test_half_precision_weights_arrive_exactly(tmp_path, token_ids):
    theirs_at_random("Qwen3", {"head_dim": 24}).bfloat16().save_pretrained(tmp_path)
    ours = load_ours(tmp_path)  # bfloat16 numbers in a float32 model
    torch.testing.assert_close(ours(token_ids), load_theirs(tmp_path)(token_ids).logits, **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize(("name", "shape"), TURNED)
def test_a_forgotten_reordering_is_seen_in_the_logits(tmp_path, token_ids, monkeypatch, name, shape):
    monkeypatch.setattr(llama_layout, "halves_from_pairs", lambda rows, heads: rows)
    ours = stir(basics.build_model(shape))
    huggingface.write_model(tmp_path, ours.config, ours.state_dict())  # type: ignore[arg-type]
    difference = (load_theirs(tmp_path)(token_ids).logits - ours(token_ids)).abs().max()
    assert difference > 1000 * TOLERANCE["atol"]


@torch.no_grad()
@pytest.mark.parametrize("forgotten", ["bias", "norm"])
def test_reordering_the_matrices_alone_is_seen_in_the_logits(tmp_path, token_ids, monkeypatch, forgotten):
    right = llama_layout.halves_from_pairs
    monkeypatch.setattr(
        llama_layout, "halves_from_pairs", lambda rows, heads: rows if rows.ndim == 1 else right(rows, heads)
    )
    options = {"qkv_bias": True} if forgotten == "bias" else {"qk_norm": True}
    ours = stir(basics.build_model(dataclasses.replace(SMALL, **options)))
    huggingface.write_model(tmp_path, ours.config, ours.state_dict())  # type: ignore[arg-type]
    difference = (load_theirs(tmp_path)(token_ids).logits - ours(token_ids)).abs().max()
    assert difference > 1000 * TOLERANCE["atol"]


def test_a_bias_that_we_cannot_hold_is_refused(tmp_path):
    theirs = theirs_at_random("Llama", {"attention_bias": True})
    torch.nn.init.ones_(theirs.model.layers[1].self_attn.o_proj.bias)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"layers.1.self_attn.o_proj.bias .* is not zero"):
        huggingface.read_model(tmp_path)


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        (
            "Llama",
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
            "RoPE scaling",
        ),
        ("Llama", {"mlp_bias": True}, "mlp_bias"),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding"),
    ],
)
def test_what_they_wrote_and_we_do_not_compute_is_refused(tmp_path, family, options, said):
    theirs_at_random(family, options).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=said):
        huggingface.read_model(tmp_path)
