"""The door of stage 1: the only module of `a1_basics` that other stages, `shared` and the graded tests reach.

The first 21 functions are those of the public assignment 1, with its names, keyword parameters and conventions; the
rest is ours. Each is a few lines: the work is done inside the stage.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn, optim

from a1_basics.model import attention, classic, layers
from a1_basics.model.bigram import Bigram
from a1_basics.model.rope import RotaryEmbedding
from a1_basics.model.stack import causal_average
from a1_basics.model.transformer import TransformerLM, transformer_block
from a1_basics.tokenizers import bpe_fast, chars, split_bpe, split_train
from a1_basics.training import adamw, batches, checkpoint, clip, evaluate, loss, muon, sample, schedule
from shared.doors.protocols import (
    ClassicConfig,
    Evaluation,
    ModelConfig,
    ModelShape,
    TokenizerLike,
    TrainJob,
)
from shared.store.kinds.tokenizer import TokenizerFiles


def run_linear(
    d_in: int, d_out: int, weights: Float[Tensor, "d_out d_in"], in_features: Float[Tensor, "... d_in"]
) -> Float[Tensor, "... d_out"]:
    """`x W^T`."""
    return layers.linear(in_features, weights)


def run_embedding(
    vocab_size: int,
    d_model: int,
    weights: Float[Tensor, "vocab d_model"],
    token_ids: Int[Tensor, "..."],
) -> Float[Tensor, "... d_model"]:
    """Rows of the table."""
    return weights[token_ids]


def run_swiglu(
    d_model: int,
    d_ff: int,
    w1_weight: Float[Tensor, "d_ff d_model"],
    w2_weight: Float[Tensor, "d_model d_ff"],
    w3_weight: Float[Tensor, "d_ff d_model"],
    in_features: Float[Tensor, "... d_model"],
) -> Float[Tensor, "... d_model"]:
    """`w2(silu(w1 x) * w3 x)`."""
    weights = {"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight}
    return torch.func.functional_call(layers.SwiGLU(d_model, d_ff), weights, (in_features,))


def run_scaled_dot_product_attention(
    Q: Float[Tensor, "... q_len d_k"],
    K: Float[Tensor, "... k_len d_k"],
    V: Float[Tensor, "... k_len d_v"],
    mask: Bool[Tensor, "... q_len k_len"] | None = None,
) -> Float[Tensor, "... q_len d_v"]:
    """Attention with an optional mask, True where a query may look."""
    return attention.scaled_dot_product_attention(Q, K, V, mask)


def run_multihead_self_attention(
    d_model: int,
    num_heads: int,
    q_proj_weight: Float[Tensor, "d_model d_in"],
    k_proj_weight: Float[Tensor, "d_model d_in"],
    v_proj_weight: Float[Tensor, "d_model d_in"],
    o_proj_weight: Float[Tensor, "d_out d_model"],
    in_features: Float[Tensor, "... seq d_in"],
) -> Float[Tensor, "... seq d_out"]:
    """Causal multi-head self-attention without positions."""
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return _self_attention(num_heads, weights, in_features, rope=None, positions=None)


def run_multihead_self_attention_with_rope(
    d_model: int,
    num_heads: int,
    max_seq_len: int,
    theta: float,
    q_proj_weight: Float[Tensor, "d_model d_in"],
    k_proj_weight: Float[Tensor, "d_model d_in"],
    v_proj_weight: Float[Tensor, "d_model d_in"],
    o_proj_weight: Float[Tensor, "d_out d_model"],
    in_features: Float[Tensor, "... seq d_in"],
    token_positions: Int[Tensor, "... seq"] | None = None,
) -> Float[Tensor, "... seq d_out"]:
    """Causal multi-head self-attention, queries and keys turned by RoPE; positions default to 0, 1, 2 …"""
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    rope = RotaryEmbedding(d_model // num_heads, theta, max_seq_len, device=in_features.device)
    return _self_attention(num_heads, weights, in_features, rope=rope, positions=token_positions)


def run_rope(
    d_k: int,
    theta: float,
    max_seq_len: int,
    in_query_or_key: Float[Tensor, "... seq d_k"],
    token_positions: Int[Tensor, "... seq"],
) -> Float[Tensor, "... seq d_k"]:
    """RoPE over neighbouring pairs of coordinates."""
    return RotaryEmbedding(d_k, theta, max_seq_len, device=in_query_or_key.device)(
        in_query_or_key, token_positions
    )


def run_transformer_block(
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """One pre-norm block with these weights."""
    config = ModelConfig(1, max_seq_len, d_model, 1, num_heads, d_ff, rope_theta=theta)
    arguments = {
        "layer": 0,
        "rope": RotaryEmbedding(d_model // num_heads, theta, max_seq_len, device=in_features.device),
        "positions": torch.arange(in_features.shape[-2], device=in_features.device),
        "attend": attention.causal_attention,
    }
    block = _written_out(transformer_block(config))
    return torch.func.functional_call(block, weights, (in_features,), arguments)


def run_transformer_lm(
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    weights: dict[str, Tensor],
    in_indices: Int[Tensor, "batch seq"],
) -> Float[Tensor, "batch seq vocab"]:
    """The logits of a whole model with these weights."""
    config = ModelConfig(
        vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta=rope_theta
    )
    model = _written_out(TransformerLM(config).to(in_indices.device))
    arguments = {"attend": attention.causal_attention}
    return torch.func.functional_call(model, weights, (in_indices,), arguments)


def run_rmsnorm(
    d_model: int, eps: float, weights: Float[Tensor, "d_model"], in_features: Float[Tensor, "... d_model"]
) -> Float[Tensor, "... d_model"]:
    """RMSNorm with this gain."""
    return layers.rms_norm(in_features, weights, eps)


def run_silu(in_features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`x * sigmoid(x)`."""
    return layers.silu(in_features)


def run_get_batch(
    dataset: np.ndarray, batch_size: int, context_length: int, device: str
) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Random windows of the data and the same windows one token later."""
    return batches.random_batch(dataset, batch_size, context_length, device)


def run_softmax(in_features: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Softmax along `dim`."""
    return layers.softmax(in_features, dim)


def run_cross_entropy(inputs: Float[Tensor, "... vocab"], targets: Int[Tensor, "..."]) -> Float[Tensor, ""]:
    """Mean negative log-probability of the targets, in nats."""
    return loss.cross_entropy(inputs, targets)


def run_gradient_clipping(parameters: Iterable[nn.Parameter], max_l2_norm: float) -> None:
    """Scale all gradients in place so that their joint norm is at most `max_l2_norm`."""
    clip.clip_gradients(parameters, max_l2_norm)


def get_adamw_cls() -> type[optim.Optimizer]:
    """The optimizer class."""
    return adamw.ForeachAdamW


def run_get_lr_cosine_schedule(
    it: int,
    max_learning_rate: float,
    min_learning_rate: float,
    warmup_iters: int,
    cosine_cycle_iters: int,
) -> float:
    """Linear warm-up, cosine decay, then the minimum."""
    return schedule.cosine_schedule(
        it,
        max_learning_rate=max_learning_rate,
        min_learning_rate=min_learning_rate,
        warmup_steps=warmup_iters,
        cosine_end_step=cosine_cycle_iters,
    )


def run_save_checkpoint(
    model: nn.Module,
    optimizer: optim.Optimizer,
    iteration: int,
    out: str | os.PathLike[str] | BinaryIO | IO[bytes],
) -> None:
    """Model, optimizer and iteration to a path or an open file."""
    checkpoint.save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(
    src: str | os.PathLike[str] | BinaryIO | IO[bytes], model: nn.Module, optimizer: optim.Optimizer
) -> int:
    """Restore what `run_save_checkpoint` wrote; the iteration."""
    return checkpoint.load_checkpoint(src, model, optimizer)


def get_tokenizer(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str] | None = None,
) -> TokenizerLike:
    """A byte-pair tokenizer with this vocabulary and these merges."""
    return bpe_fast.Tokenizer(vocab, merges, special_tokens)


def run_train_bpe(
    input_path: str | os.PathLike[str], vocab_size: int, special_tokens: list[str], **kwargs: Any
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Vocabulary and merges, in the order in which they were made, learned from a UTF-8 file."""
    return bpe_fast.train_bpe(input_path, vocab_size, special_tokens, **kwargs)


def run_train_chars(input_path: str | os.PathLike[str], special_tokens: list[str]) -> dict[int, bytes]:
    """A token for each character of a UTF-8 file, in the order of their code points; special tokens last."""
    return chars.train_chars(input_path, special_tokens)


def get_char_tokenizer(vocab: dict[int, bytes], special_tokens: list[str]) -> TokenizerLike:
    """A tokenizer with an id for each character."""
    return chars.CharTokenizer(vocab, special_tokens)


def bigram_model(tokens: np.ndarray, vocab_size: int) -> nn.Module:
    """The counted bigram model of these tokens."""
    return Bigram.from_counts(tokens, vocab_size)


def run_causal_average(in_features: Float[Tensor, "... seq d_model"]) -> Float[Tensor, "... seq d_model"]:
    """The mean of each position and all before it."""
    return causal_average(in_features)


def run_layernorm(
    d_model: int,
    eps: float,
    weights: Float[Tensor, "d_model"],
    biases: Float[Tensor, "d_model"],
    in_features: Float[Tensor, "... d_model"],
) -> Float[Tensor, "... d_model"]:
    """LayerNorm with these gains and offsets."""
    return classic.layer_norm(in_features, weights, biases, eps)


def run_dropout(
    drop_fraction: float, is_training: bool, in_features: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Numbers zeroed at random and the others scaled up; in evaluation, nothing."""
    return classic.Dropout(drop_fraction).train(is_training)(in_features)


def run_gelu_feedforward(
    d_model: int,
    d_ff: int,
    w1_weight: Float[Tensor, "d_ff d_model"],
    w1_bias: Float[Tensor, "d_ff"],
    w2_weight: Float[Tensor, "d_model d_ff"],
    w2_bias: Float[Tensor, "d_model"],
    in_features: Float[Tensor, "... d_model"],
) -> Float[Tensor, "... d_model"]:
    """`w2(gelu(w1 x))` with GELU written out: graded problems may not call torch's kernel."""
    hidden = classic.gelu(layers.linear(in_features, w1_weight) + w1_bias)
    return layers.linear(hidden, w2_weight) + w2_bias


def run_grouped_query_attention(
    d_model: int,
    num_heads: int,
    num_kv_heads: int,
    q_proj_weight: Float[Tensor, "d_model d_in"],
    k_proj_weight: Float[Tensor, "d_kv d_in"],
    v_proj_weight: Float[Tensor, "d_kv d_in"],
    o_proj_weight: Float[Tensor, "d_out d_model"],
    in_features: Float[Tensor, "... seq d_in"],
) -> Float[Tensor, "... seq d_out"]:
    """Causal self-attention without positions, a key and value head for each group of query heads."""
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return _self_attention(
        num_heads, weights, in_features, rope=None, positions=None, num_kv_heads=num_kv_heads
    )


def run_qk_norm_scores(
    eps: float,
    q_weights: Float[Tensor, "d_k"],
    k_weights: Float[Tensor, "d_k"],
    Q: Float[Tensor, "... q_len d_k"],
    K: Float[Tensor, "... k_len d_k"],
) -> Float[Tensor, "... q_len k_len"]:
    """Scaled inner products of normalised queries and keys."""
    queries, keys = layers.rms_norm(Q, q_weights, eps), layers.rms_norm(K, k_weights, eps)
    return attention.attention_scores(queries, keys)


def run_newton_schulz(in_matrix: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "d_out d_in"]:
    """The same singular vectors, every singular value near one."""
    return muon.newton_schulz(in_matrix)


def run_muon_step(
    weights: Float[Tensor, "d_out d_in"],
    gradients: Float[Tensor, "d_out d_in"],
    momentum: Float[Tensor, "d_out d_in"],
    lr: float,
    beta: float,
    weight_decay: float,
) -> tuple[Float[Tensor, "d_out d_in"], Float[Tensor, "d_out d_in"]]:
    """Weights and momentum after one step of Muon."""
    moved, kept = weights.clone(), momentum.clone()
    muon.move_orthogonally(moved, gradients, kept, lr=lr, beta=beta, weight_decay=weight_decay)
    return moved, kept


def evaluate_model(
    model: nn.Module,
    tokens: np.ndarray,
    token_bytes: Int[np.ndarray, "vocab"],
    context_length: int,
    batch_size: int = 16,
    stride: int | None = None,
    max_batches: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Predict every token but the first once, each from at least `context_length - stride` others."""
    return evaluate.evaluate(
        model, tokens, token_bytes, context_length, batch_size, stride, max_batches, on_batch
    )


def generate_tokens(
    model: nn.Module,
    prompt: Int[Tensor, "seq"],
    max_new_tokens: int,
    context_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    end_token: int | None = None,
) -> Iterator[int]:
    """New tokens after `prompt`, until `end_token` (which is yielded) or `max_new_tokens`."""
    return sample.sample_tokens(
        model,
        prompt,
        max_new_tokens=max_new_tokens,
        context_length=context_length,
        sampling=sample.Sampling(temperature, top_k, top_p),
        generator=torch.Generator().manual_seed(seed),
        end_token=end_token,
    )


def train_split_bpe(
    input_path: str | os.PathLike[str], vocab_size: int, special_tokens: list[str], pattern: str
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """`run_train_bpe` on pre-tokens that another published pattern cuts: a name of `SPLIT_PATTERNS`."""
    return split_train.train_split_bpe(input_path, vocab_size, special_tokens, pattern)


def build_tokenizer(files: TokenizerFiles) -> TokenizerLike:
    """The tokenizer of an artifact, of any type and split pattern that the store knows."""
    if files.type == "chars":
        return chars.CharTokenizer(files.vocab, files.special_tokens)
    if files.type == "bytes":
        return chars.ByteTokenizer(files.vocab, files.special_tokens)
    return split_bpe.Tokenizer(files)


def build_model(config: ModelShape) -> nn.Module:
    """A freshly initialised model of this shape, its random numbers from torch's global generator."""
    return classic.ClassicLM(config) if isinstance(config, ClassicConfig) else TransformerLM(config)


def train(job: TrainJob) -> str:
    """Train to the end of the job; the digest of the published Checkpoint."""
    from a1_basics.training.train import train

    return train(job)


def _written_out(model: nn.Module) -> nn.Module:
    """The model with SiLU written out in place of torch's kernel, which graded problems may not call."""
    for part in model.modules():
        if isinstance(part, layers.SwiGLU):
            part.activation = layers.silu
    return model


def _self_attention(
    num_heads: int,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    features: Float[Tensor, "... seq d_in"],
    *,
    rope: RotaryEmbedding | None,
    positions: Int[Tensor, "... seq"] | None,
    num_kv_heads: int | None = None,
) -> Float[Tensor, "... seq d_out"]:
    query_weight, key_weight, value_weight, output_weight = weights
    num_kv_heads = num_kv_heads or num_heads
    queries, keys, values = (
        rearrange(layers.linear(features, weight), "... seq (heads d) -> ... heads seq d", heads=heads)
        for weight, heads in (
            (query_weight, num_heads),
            (key_weight, num_kv_heads),
            (value_weight, num_kv_heads),
        )
    )
    keys, values = (attention.repeat_kv_heads(states, num_heads) for states in (keys, values))
    seq = features.shape[-2]
    if rope is not None:
        if positions is None:
            positions = torch.arange(seq, device=features.device)
        positions = positions[..., None, :]  # the same for every head
        queries, keys = rope(queries, positions), rope(keys, positions)
    mask = attention.causal_mask(seq, seq, features.device)
    read = attention.scaled_dot_product_attention(queries, keys, values, mask)
    return layers.linear(rearrange(read, "... heads seq d -> ... seq (heads d)"), output_weight)
