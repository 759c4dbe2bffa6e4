"""Our models as Hugging Face directories and back, without any Hugging Face package.

That the numbers are Hugging Face's own is shown in `test_interchange_equality.py`, where transformers is installed.
"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from a1_basics import adapters as basics
from shared.doors.protocols import ClassicConfig, ModelConfig, ModelShape
from shared.errors import DataError
from shared.interchange import gpt2_layout, huggingface, llama_layout, model_shape, weight_files

SMALL = ModelConfig(vocab_size=50, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=48)
CLASSIC = ClassicConfig(vocab_size=50, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=48)
OPTIONS = [
    {},
    {"num_kv_heads": 2, "tied_embeddings": True, "rope_theta": 500_000.0, "norm_eps": 1e-6},
    {"qkv_bias": True, "num_kv_heads": 1},
    {"qk_norm": True, "head_dim": 12, "num_kv_heads": 2},
    {"qk_norm": True, "qkv_bias": True, "tied_embeddings": True},
    {"head_dim": 16},
]
SHAPES: list[ModelShape] = [*(dataclasses.replace(SMALL, **options) for options in OPTIONS), CLASSIC]
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 50,
    "max_position_embeddings": 16,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-5,
}


def config_of(**options) -> ModelConfig:
    return dataclasses.replace(SMALL, **options)


def random_weights(config: ModelShape, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """No two numbers alike, gains and biases included."""
    generator = torch.Generator().manual_seed(0)
    state = basics.build_model(config).state_dict()
    return {name: torch.randn(tensor.shape, generator=generator).to(dtype) for name, tensor in state.items()}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A small Llama in a folder."""
    huggingface.write_model(tmp_path, SMALL, random_weights(SMALL))
    return tmp_path


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("config", SHAPES)
def test_the_table_names_every_tensor_of_the_model_with_its_shape(config):
    state = basics.build_model(config).state_dict()
    rows = list((gpt2_layout if config is CLASSIC else llama_layout).rows(config))
    ours = [(name, shape) for row in rows for name, shape in row.our_shapes.items()]
    assert dict(ours) == {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert len({row.theirs for row in rows}) == len(rows)
    assert len(dict(ours)) == len(ours)


def test_their_names_are_the_published_ones():
    config = config_of(num_layers=1, qk_norm=True, qkv_bias=True)
    layer = "model.layers.0"
    attention = [
        "q_proj.weight",
        "q_proj.bias",
        "k_proj.weight",
        "k_proj.bias",
        "v_proj.weight",
        "v_proj.bias",
    ]
    attention += ["o_proj.weight", "q_norm.weight", "k_norm.weight"]
    wanted = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    wanted |= {f"{layer}.self_attn.{name}" for name in attention}
    wanted |= {f"{layer}.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    wanted |= {f"{layer}.{name}_layernorm.weight" for name in ("input", "post_attention")}
    assert {row.theirs for row in llama_layout.rows(config)} == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", SHAPES)
def test_there_and_back_changes_no_bit(tmp_path, config, dtype):
    weights = random_weights(config, dtype)
    huggingface.write_model(tmp_path, config, weights)
    read, found = huggingface.read_model(tmp_path)
    assert read == config
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) and found[name].dtype == dtype for name in weights)


def test_gpt2_names_are_the_published_ones():
    block = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2"]
    wanted = {
        f"h.{layer}.{part}.{kind}" for layer in range(2) for part in block for kind in ("weight", "bias")
    }
    wanted |= {"wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"}
    assert {row.theirs for row in gpt2_layout.rows(CLASSIC, prefix="")} == wanted
    assert {row.theirs for row in gpt2_layout.rows(CLASSIC)} == {f"transformer.{name}" for name in wanted}


def test_gpt2_matrices_lie_transposed_and_side_by_side():
    weights = random_weights(CLASSIC)
    joined = {row.theirs: row.to_theirs(weights) for row in gpt2_layout.rows(CLASSIC, prefix="")}[
        "h.1.attn.c_attn.weight"
    ]
    features = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    apart = [features @ weights[f"layers.1.attn.{name}_proj.weight"].T for name in ("q", "k", "v")]
    # Another order of summing 32 terms.
    torch.testing.assert_close(features @ joined, torch.cat(apart, dim=-1), atol=1e-5, rtol=1e-5)


def test_the_oldest_gpt2_files_are_read(tmp_path):
    weights = random_weights(CLASSIC)
    huggingface.write_model(tmp_path, CLASSIC, weights)
    file = tmp_path / weight_files.SINGLE
    bare = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    causal = {f"h.{layer}.attn.bias": torch.ones(1, 1, 16, 16).tril() for layer in range(2)}
    save_file(bare | causal | {"lm_head.weight": bare["wte.weight"].clone()}, file)
    found = huggingface.read_model(tmp_path)[1]
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    save_file(bare | {"lm_head.weight": torch.zeros(50, 32)}, file)
    with pytest.raises(DataError, match="one of both is wrong"):
        huggingface.read_model(tmp_path)


@given(heads=st.integers(1, 5), half=st.integers(1, 8), data=st.data())
def test_reordering_rows_is_undone_and_keeps_each_head_apart(heads, half, data):
    rows = torch.arange(heads * 2 * half)
    turned = llama_layout.halves_from_pairs(rows, heads)
    assert torch.equal(llama_layout.pairs_from_halves(turned, heads), rows)
    head = data.draw(st.integers(0, heads - 1))
    place = slice(head * 2 * half, (head + 1) * 2 * half)
    assert set(turned[place].tolist()) == set(rows[place].tolist())
    k = data.draw(st.integers(0, half - 1))
    assert (turned[place][k], turned[place][k + half]) == (rows[place][2 * k], rows[place][2 * k + 1])


def test_turning_halves_after_reordering_is_reordering_after_turning_pairs():
    head_dim, seq, theta = 12, 7, 10_000.0
    features = torch.randn(seq, head_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = basics.run_rope(head_dim, theta, seq, features, torch.arange(seq))
    halves = llama_layout.halves_from_pairs(features.T, 1).T
    angles = torch.outer(torch.arange(seq).double(), theta ** (-torch.arange(0, head_dim, 2) / head_dim))
    cosines, sines = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    left, right = halves.chunk(2, dim=-1)
    turned = halves * cosines + torch.cat((-right, left), dim=-1) * sines
    # The model's table of cosines is float32: six units in its last place, with features of size up to three.
    torch.testing.assert_close(turned, llama_layout.halves_from_pairs(pairs.T, 1).T, atol=2e-6, rtol=0)


@pytest.mark.parametrize("max_shard_bytes", [1, 5_000, 20_000])
def test_shards_hold_every_tensor_once_and_say_where(tmp_path, max_shard_bytes):
    weights = random_weights(SMALL)
    huggingface.write_model(tmp_path, SMALL, weights, max_shard_bytes=max_shard_bytes)
    index = json.loads((tmp_path / weight_files.INDEX).read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    inside = {file.name: load_file(file) for file in files}
    assert index["weight_map"] == {name: file for file, tensors in inside.items() for name in tensors}
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in weights.values())
    assert [file.name for file in files] == [
        f"model-{number:05}-of-{len(files):05}.safetensors" for number in range(1, len(files) + 1)
    ]
    for tensors in inside.values():
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= max_shard_bytes
    _, found = huggingface.read_model(tmp_path)
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_half_precision_export_rounds_once(tmp_path):
    weights = random_weights(SMALL)
    huggingface.write_model(tmp_path, SMALL, weights, dtype=torch.bfloat16)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    _, found = huggingface.read_model(tmp_path)
    assert all(torch.equal(found[name], tensor.bfloat16()) for name, tensor in weights.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mixtral"}, "mixtral.*gpt2, llama, qwen2, qwen3"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "RoPE scaling.*llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "RoPE scaling.*linear"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "RoPE scaling.*yarn"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, "RoPE scaling.*full_attention"),
        ({"partial_rotary_factor": 0.5}, "part of each head.*0.5"),
        ({"use_sliding_window": True}, "sliding windows"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types.*sliding_attention"),
        ({"mlp_bias": True}, "feed-forward"),
        ({"hidden_act": "gelu"}, "hidden_act.*gelu"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "code of its own"),
        ({"hidden_size": "32"}, "hidden_size='32'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"num_hidden_layers": True}, "num_hidden_layers=True"),
        ({"num_attention_heads": 3}, "hidden_size=32.*3 heads"),
        ({"num_key_value_heads": 3}, "4 heads.*3 key/value"),
        ({"head_dim": 7}, "even width"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps=-1.0"),
        ({"rope_theta": None}, "rope_theta=None"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(changes, said):
    with pytest.raises(DataError, match=said):
        model_shape.from_config_json(LLAMA | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation_function": "relu"}, "activation_function='relu'.*gelu_new"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"scale_attn_weights": False}, "scale_attn_weights"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"n_head": 5}, "n_embd=32.*5 heads"),
        ({"n_inner": 0}, "n_inner=0"),
    ],
)
def test_a_gpt2_that_we_do_not_compute_is_refused_by_name(changes, said):
    with pytest.raises(DataError, match=said):
        gpt2_layout.from_config_json(GPT2 | changes)


def test_a_silent_gpt2_is_the_smallest_release():
    assert gpt2_layout.from_config_json({"model_type": "gpt2"}) == ClassicConfig()
    assert gpt2_layout.from_config_json(GPT2) == dataclasses.replace(CLASSIC, d_ff=128)


def test_plain_settings_that_newer_releases_write_are_taken():
    plain = {
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
        "rope_scaling": None,
        "layer_types": ["full_attention"] * 2,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "hidden_act": "silu",
    }
    config = model_shape.from_config_json(LLAMA | plain | {"rope_theta": 1.0})
    assert config == config_of(rope_theta=5e5)


def test_silence_means_what_it_means_to_each_family():
    sizes = {"hidden_size": 64, "num_attention_heads": 32, "num_key_value_heads": None}
    assert model_shape.from_config_json(LLAMA).width_per_head == 8
    silent = {key: value for key, value in LLAMA.items() if key != "rms_norm_eps"} | sizes
    config = model_shape.from_config_json(silent | {"model_type": "qwen3"})
    assert (config.width_per_head, config.norm_eps, config.qkv_bias) == (128, 1e-6, False)
    assert model_shape.from_config_json(silent | {"model_type": "qwen2"}).qkv_bias


def test_a_llama_whose_width_its_heads_do_not_divide_is_not_written(tmp_path):
    config = config_of(d_model=30, head_dim=8)
    with pytest.raises(DataError, match="multiple of num_heads"):
        huggingface.write_model(tmp_path, config, random_weights(config))


@pytest.mark.parametrize(
    "file", ["../elsewhere.safetensors", "/model.safetensors", "folder/a.safetensors", "weights.bin", 3, ".."]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path, file):
    save_file({"a": torch.zeros(1)}, tmp_path.parent / "elsewhere.safetensors")
    (tmp_path / weight_files.INDEX).write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(DataError, match="same folder"):
        weight_files.WeightFiles(tmp_path)


def test_a_folder_of_links_is_read(exported, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    for file in exported.iterdir():
        (cache / file.name).symlink_to(file)
    assert huggingface.read_model(cache)[0] == SMALL


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    torch.save({"model.norm.weight": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model.bin, a pickle"):
        huggingface.read_model(tmp_path)


def test_a_file_cut_short_is_named(exported):
    file = exported / weight_files.SINGLE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"model.safetensors .* cut short"):
        huggingface.read_model(exported)


def test_a_missing_shard_and_one_of_another_checkpoint_are_named(tmp_path):
    huggingface.write_model(tmp_path, SMALL, random_weights(SMALL), max_shard_bytes=20_000)
    first, second, *_ = sorted(tmp_path.glob("*.safetensors"))
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(DataError, match=f"lacks {second.name}"):
        huggingface.read_model(tmp_path)
    second.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=f"in {second.name}, which does not hold it"):
        huggingface.read_model(tmp_path)
    second.write_bytes(kept)
    huggingface.read_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": 51}, r"other shapes: model.embed_tokens.weight is \[50, 32\], wanted \[51, 32\]"),
        ({"num_hidden_layers": 3}, r"lacks: model.layers.2.input_layernorm.weight.* and 6 more"),
        ({"num_hidden_layers": 1}, r"has unknown: model.layers.1"),
        ({"num_hidden_layers": 10**9}, r"1000000000 layers.* 21 tensors"),
        ({"tie_word_embeddings": True}, "one of both is wrong"),
    ],
)
def test_weights_of_another_model_than_the_configuration_are_refused_before_they_are_read(
    exported, changes, said
):
    edit(exported / "config.json", **changes)
    with pytest.raises(DataError, match=said):
        huggingface.read_model(exported)


def test_integers_are_no_weights(exported):
    file = exported / weight_files.SINGLE
    tensors = load_file(file)
    save_file(tensors | {"model.norm.weight": torch.ones(32, dtype=torch.int8)}, file)
    with pytest.raises(DataError, match=r"model.norm.weight .* torch.int8"):
        huggingface.read_model(exported)


def test_a_table_stored_twice_and_old_buffers_change_nothing(tmp_path):
    config = config_of(tied_embeddings=True)
    weights = random_weights(config)
    huggingface.write_model(tmp_path, config, weights)
    file = tmp_path / weight_files.SINGLE
    tensors = load_file(file)
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, file)
    found = huggingface.read_model(tmp_path)[1]
    assert found.keys() == weights.keys()


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(exported, text):
    (exported / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json"):
        huggingface.read_model(exported)
