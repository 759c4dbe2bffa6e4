"""The shape of a model as `config.json` of Hugging Face's Llama, Qwen2 and Qwen3 says it, and as `ModelConfig` does.

What changes the computation and has no place in `ModelConfig` is refused by name: a model that loads and computes
something else is worse than one that does not load.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.doors.protocols import ModelConfig
from shared.errors import DataError
from shared.interchange.checked_numbers import count, positive

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

# What transformers takes where config.json is silent, family by family; all else must be said.
SILENT = {
    "llama": {"num_key_value_heads": None, "head_dim": None, "rms_norm_eps": 1e-6},
    "qwen2": {"num_key_value_heads": 32, "head_dim": None, "rms_norm_eps": 1e-6},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128, "rms_norm_eps": 1e-6},
}
DEFAULT_THETA = 10_000.0


def family_of(config: ModelConfig) -> str:
    """The family that is known for this model's options: Qwen3 has QK-norm, Qwen2 biases, Llama neither."""
    return "qwen3" if config.qk_norm else "qwen2" if config.qkv_bias else "llama"


def to_config_json(config: ModelConfig, family: str, *, dtype: str, end_token: int | None) -> dict[str, Any]:
    """The object to write as `config.json`, for a family that has this model's options.

    `rope_theta` and `torch_dtype` are said twice, as transformers 4 and as transformers 5 look for them.

    Raises:
        DataError: a shape that the family's code refuses.
    """
    if family == "llama" and config.d_model % config.num_heads:
        raise DataError(
            f"Hugging Face's Llama wants d_model to be a multiple of num_heads, and this model has "
            f"{config.d_model} and {config.num_heads}; with QK-norm (a Qwen3) it could be exported"
        )
    record: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "head_dim": config.width_per_head,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tied_embeddings,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": end_token,  # a document begins after the end of another
        "eos_token_id": end_token,
        "torch_dtype": dtype,
        "dtype": dtype,
    }
    if family != "qwen2":
        record["attention_bias"] = config.qkv_bias
    if family != "llama":
        record["use_sliding_window"] = False
    return record


def from_config_json(record: Mapping[str, Any]) -> ModelConfig:
    """The shape that a `config.json` asks for.

    Raises:
        DataError: another family, or an option that this workspace does not compute, by name; a number that is none.
    """
    family = record.get("model_type")
    if family not in ARCHITECTURES:
        known = ", ".join(["gpt2", *ARCHITECTURES])
        raise DataError(f"config.json is of a model of type {family!r}; those that can be read are: {known}")
    refuse_unknown_computation(record)
    said = {**SILENT[family], **record}
    d_model, num_heads = count(said, "hidden_size"), count(said, "num_attention_heads")
    head_dim = None if said["head_dim"] is None else count(said, "head_dim")
    if head_dim is not None and head_dim * num_heads == d_model:
        head_dim = None
    num_kv_heads = num_heads if said["num_key_value_heads"] is None else count(said, "num_key_value_heads")
    config = ModelConfig(
        vocab_size=count(said, "vocab_size"),
        context_length=count(said, "max_position_embeddings"),
        d_model=d_model,
        num_layers=count(said, "num_hidden_layers"),
        num_heads=num_heads,
        d_ff=count(said, "intermediate_size"),
        rope_theta=rope_theta(record),
        norm_eps=positive(said, "rms_norm_eps"),
        num_kv_heads=None if num_kv_heads == num_heads else num_kv_heads,
        tied_embeddings=bool(said.get("tie_word_embeddings", False)),
        qk_norm=family == "qwen3",
        qkv_bias=family == "qwen2" or bool(said.get("attention_bias", False)),
        head_dim=head_dim,
    )
    if head_dim is None and d_model % num_heads:
        raise DataError(f"config.json has hidden_size={d_model}, no multiple of its {num_heads} heads")
    if num_heads % num_kv_heads or config.width_per_head % 2:
        raise DataError(
            f"config.json has {num_heads} heads of width {config.width_per_head} for {num_kv_heads} key/value "
            "heads; wanted a multiple of the key/value heads, and an even width, for RoPE turns pairs"
        )
    return config


def refuse_unknown_computation(record: Mapping[str, Any]) -> None:
    """Raises: DataError: the first option found that this workspace does not compute, by name and value."""
    for what, value in unknown_computation(record):
        if value:
            raise DataError(
                f"this model has {what}: {value!r}. The workspace's transformer does not compute that: it would "
                "load and then answer wrongly. Import a checkpoint without it."
            )


def unknown_computation(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What this workspace does not compute, each with its value in `record`; a false value: it is not there."""
    yield "code of its own (auto_map)", record.get("auto_map")
    yield "quantized weights (quantization_config)", record.get("quantization_config")
    for key in ("rope_scaling", "rope_parameters"):
        rope = record.get(key)
        yield f"RoPE scaling ({key})", None if _is_plain_rope(rope) else rope
        yield (
            "RoPE on a part of each head",
            None if rope is None else _other(rope, "partial_rotary_factor", 1),
        )
    yield "RoPE on a part of each head", _other(record, "partial_rotary_factor", 1)
    yield "sliding windows (use_sliding_window)", record.get("use_sliding_window")
    kinds = record.get("layer_types") or []
    is_all_full = isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds)
    yield "layers that do not see everything before them (layer_types)", None if is_all_full else kinds
    yield "biases in the feed-forward (mlp_bias)", record.get("mlp_bias")
    yield "another activation (hidden_act)", _other(record, "hidden_act", "silu")


def _other(record: Mapping[str, Any], key: str, plain: Any) -> Any:
    value = record.get(key)
    return None if value in (plain, None) else value


def _is_plain_rope(rope: Any) -> bool:
    """Whether rotary settings are absent, or those of plain RoPE for all layers alike."""
    return rope is None or (
        isinstance(rope, dict)
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and not any(isinstance(value, dict) for value in rope.values())
    )


def rope_theta(record: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies, from where transformers 5 keeps it or from where 4 does."""
    inside = record.get("rope_parameters") or {}
    place = inside if inside.get("rope_theta") is not None else record
    return positive({"rope_theta": DEFAULT_THETA} | dict(place), "rope_theta")
