"""What each stage offers through its door, as types: the only words in which stages speak of one another.

A door is the module `aN_name/adapters.py`, or a learner's module in its place. `shared.doors.resolve.door` returns it
typed as the protocol below, after checking names and signatures. Graded functions keep the names, keyword parameters,
orders and return conventions of the public assignments; the hooks at the end of each protocol are ours.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn, optim

from shared.costs import US_PRICES, Prices
from shared.store.kinds.tokenizer import TokenizerFiles

Attend = Callable[
    [
        int,
        Float[Tensor, "batch heads q_len head_dim"],
        Float[Tensor, "batch kv_heads k_len head_dim"],
        Float[Tensor, "batch kv_heads k_len head_dim"],
    ],
    Float[Tensor, "batch heads q_len head_dim"],
]
"""`attend(layer, q, k, v) -> out`, called after projection and RoPE. The slot for every kind of attention."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a decoder-only transformer, and the options that published checkpoints need."""

    vocab_size: int  # tokens: rows of the embedding table, and logits at each position
    context_length: int  # tokens; the longest sequence the model is trained on
    d_model: int  # numbers that stand for a token between the layers
    num_layers: int  # blocks of attention and feed-forward
    num_heads: int  # query heads; each is d_model / num_heads wide, an even number
    d_ff: int  # hidden width of the gated feed-forward; about 8/3 of d_model
    rope_theta: float = 10_000.0  # base of RoPE's angles: larger turns more slowly, for longer contexts
    norm_eps: float = 1e-5  # added to the mean square under RMSNorm's root, against a division by zero
    num_kv_heads: int | None = None  # None: as many as query heads; fewer is grouped-query attention
    tied_embeddings: bool = False  # the output projection is the embedding table
    qk_norm: bool = False  # RMSNorm on each query and key head, as in Qwen3
    qkv_bias: bool = False  # bias on the three input projections of attention, as in Qwen2
    head_dim: int | None = None  # width of one head; None: d_model / num_heads (Qwen3 has its own)

    @property
    def width_per_head(self) -> int:
        """`head_dim`, or its default worked out."""
        return self.head_dim or self.d_model // self.num_heads


@dataclass(frozen=True)
class ClassicConfig:
    """The shape of a GPT-2: LayerNorm, learned positions, GELU, biases everywhere, a tied table.

    The defaults are those of its smallest release.
    """

    vocab_size: int = 50_257
    context_length: int = 1024  # tokens; there is no position beyond
    d_model: int = 768
    num_layers: int = 12
    num_heads: int = 12
    d_ff: int = 3072  # hidden width of the feed-forward; GPT-2 takes 4 d_model
    dropout: float = 0.0  # fraction of the embeddings and of each branch's outputs that is zeroed in training
    norm_eps: float = 1e-5


ModelShape = ModelConfig | ClassicConfig
"""What a Checkpoint may hold and `build_model` builds."""


@dataclass(frozen=True)
class TrainJob:
    """Everything that decides the outcome of one training run of stage 1, and where its artifacts lie."""

    model: ModelConfig  # the shape to build, or that of the checkpoint to go on from
    shards: str  # name or digest of a Shards artifact
    name: str = "base"  # the name under which the checkpoint is published
    steps: int = 1000  # optimizer steps
    init: str = ""  # name or digest of a Checkpoint to go on from; empty: fresh weights
    batch_size: int = 16  # sequences per optimizer step
    microbatches: int = 1  # pieces that a batch passes through the model in: memory for one, gradients of all
    max_learning_rate: float = 1e-3  # at the end of the warm-up; wider models want less
    min_learning_rate: float = 1e-4  # at the last step, where the cosine has come down
    warmup_steps: int = 50  # steps of a linear rise from zero, before the moments of AdamW can be trusted
    weight_decay: float = 0.1  # of matrices, per step and unit of the learning rate; gains do not decay
    beta1: float = 0.9  # how much of the mean gradient is kept at each step
    beta2: float = 0.95  # how much of the mean squared gradient is kept; less forgets a spike sooner
    adam_eps: float = 1e-8  # added to the root of the mean squared gradient, against a division by zero
    clip_norm: float = 1.0  # longest global gradient taken as it is; a longer one is scaled down to it
    seed: int = 0  # of the fresh weights and of every batch
    precision: str = "auto"  # auto | float32 | bfloat16: bfloat16 only where the machine is fast at it
    device: str = "auto"  # auto | cpu | cuda | mps
    evaluate_every_steps: int = 100  # steps between two held-out losses; 0: at the end alone
    evaluate_batches: int = 8  # batches of held-out text each time: more for less noise
    checkpoint_every_steps: int = 100  # steps that a kill can cost at most; 0: at the end alone
    keep_checkpoints: int = 2  # the newest so many stay on disk: one to resume from, one if it is damaged
    target_loss_nats: float | None = None  # per held-out token: what the run is for; said at the end
    prices: Prices = US_PRICES  # dollars for an hour of each kind of machine; only for --dry-run
    impl: str = "reference"  # whose model, step and optimizer: reference, learner, a package, or a path
    store: Path = Path("artifacts")  # where artifacts lie
    runs: Path = Path("runs")  # where unfinished runs lie

    @property
    def train_tokens(self) -> int:
        """Tokens that all steps read together."""
        return self.steps * self.batch_size * self.model.context_length


@dataclass(frozen=True)
class Evaluation:
    """Sums over the tokens predicted; the two ratios that people read follow from them."""

    nats: float
    tokens: int
    num_bytes: int  # of the text of the predicted tokens; special tokens stand for no text

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Independent of how the tokenizer cuts the text."""
        return self.nats / math.log(2) / self.num_bytes


@runtime_checkable
class TokenizerLike(Protocol):
    """Text to token ids and back; `decode(encode(text)) == text` for every text."""

    vocab: dict[int, bytes]

    def encode(self, text: str) -> list[int]: ...

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]: ...

    def decode(self, ids: list[int]) -> str: ...


@runtime_checkable
class EndToEndTokenizer(TokenizerLike, Protocol):
    """A tokenizer that also encodes many texts in one call. Optional, so its name is one that nobody has by chance."""

    def encode_end_to_end(
        self, texts: Sequence[str]
    ) -> tuple[Int[np.ndarray, " ids"], Int[np.ndarray, " texts"]]:
        """The ids of all texts in one array, and where each text's end in it; the texts are encoded apart."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """`model(token_ids, positions=None, attend=None) -> logits`."""

    def __call__(
        self,
        token_ids: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch seq vocab"]: ...


@runtime_checkable
class BasicsDoor(Protocol):
    """Stage 1: tokenizer, model, training. The first 21 names are those of the public assignment 1."""

    def run_linear(
        self,
        d_in: int,
        d_out: int,
        weights: Float[Tensor, "d_out d_in"],
        in_features: Float[Tensor, "... d_in"],
    ) -> Float[Tensor, "... d_out"]: ...

    def run_embedding(
        self,
        vocab_size: int,
        d_model: int,
        weights: Float[Tensor, "vocab d_model"],
        token_ids: Int[Tensor, "..."],
    ) -> Float[Tensor, "... d_model"]: ...

    def run_swiglu(
        self,
        d_model: int,
        d_ff: int,
        w1_weight: Float[Tensor, "d_ff d_model"],
        w2_weight: Float[Tensor, "d_model d_ff"],
        w3_weight: Float[Tensor, "d_ff d_model"],
        in_features: Float[Tensor, "... d_model"],
    ) -> Float[Tensor, "... d_model"]: ...

    def run_scaled_dot_product_attention(
        self,
        Q: Float[Tensor, "... q_len d_k"],
        K: Float[Tensor, "... k_len d_k"],
        V: Float[Tensor, "... k_len d_v"],
        mask: Bool[Tensor, "... q_len k_len"] | None = None,
    ) -> Float[Tensor, "... q_len d_v"]: ...

    def run_multihead_self_attention(
        self,
        d_model: int,
        num_heads: int,
        q_proj_weight: Float[Tensor, "d_model d_in"],
        k_proj_weight: Float[Tensor, "d_model d_in"],
        v_proj_weight: Float[Tensor, "d_model d_in"],
        o_proj_weight: Float[Tensor, "d_out d_model"],
        in_features: Float[Tensor, "... seq d_in"],
    ) -> Float[Tensor, "... seq d_out"]: ...

    def run_multihead_self_attention_with_rope(
        self,
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
    ) -> Float[Tensor, "... seq d_out"]: ...

    def run_rope(
        self,
        d_k: int,
        theta: float,
        max_seq_len: int,
        in_query_or_key: Float[Tensor, "... seq d_k"],
        token_positions: Int[Tensor, "... seq"],
    ) -> Float[Tensor, "... seq d_k"]: ...

    def run_transformer_block(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        max_seq_len: int,
        theta: float,
        weights: dict[str, Tensor],
        in_features: Float[Tensor, "batch seq d_model"],
    ) -> Float[Tensor, "batch seq d_model"]: ...

    def run_transformer_lm(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        rope_theta: float,
        weights: dict[str, Tensor],
        in_indices: Int[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch seq vocab"]: ...

    def run_rmsnorm(
        self,
        d_model: int,
        eps: float,
        weights: Float[Tensor, "d_model"],
        in_features: Float[Tensor, "... d_model"],
    ) -> Float[Tensor, "... d_model"]: ...

    def run_silu(self, in_features: Float[Tensor, "..."]) -> Float[Tensor, "..."]: ...

    def run_get_batch(
        self, dataset: np.ndarray, batch_size: int, context_length: int, device: str
    ) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]: ...

    def run_softmax(self, in_features: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]: ...

    def run_cross_entropy(
        self, inputs: Float[Tensor, "... vocab"], targets: Int[Tensor, "..."]
    ) -> Float[Tensor, ""]: ...

    def run_gradient_clipping(self, parameters: Iterable[nn.Parameter], max_l2_norm: float) -> None: ...

    def get_adamw_cls(self) -> Callable[..., optim.Optimizer]: ...

    def run_get_lr_cosine_schedule(
        self,
        it: int,
        max_learning_rate: float,
        min_learning_rate: float,
        warmup_iters: int,
        cosine_cycle_iters: int,
    ) -> float: ...

    def run_save_checkpoint(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        iteration: int,
        out: str | os.PathLike[str] | BinaryIO | IO[bytes],
    ) -> None: ...

    def run_load_checkpoint(
        self,
        src: str | os.PathLike[str] | BinaryIO | IO[bytes],
        model: nn.Module,
        optimizer: optim.Optimizer,
    ) -> int: ...

    def get_tokenizer(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> TokenizerLike: ...

    def run_train_bpe(
        self, input_path: str | os.PathLike[str], vocab_size: int, special_tokens: list[str], **kwargs: Any
    ) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]: ...

    def run_train_chars(
        self, input_path: str | os.PathLike[str], special_tokens: list[str]
    ) -> dict[int, bytes]:
        """A token for each character of a text file, in the order of their code points; special tokens last."""
        ...

    def get_char_tokenizer(self, vocab: dict[int, bytes], special_tokens: list[str]) -> TokenizerLike:
        """A tokenizer with an id for each character; one that it has not seen is an error that names it."""
        ...

    def bigram_model(self, tokens: np.ndarray, vocab_size: int) -> nn.Module:
        """The counted bigram model of these tokens: the line that a transformer must fall below."""
        ...

    def run_causal_average(
        self, in_features: Float[Tensor, "... seq d_model"]
    ) -> Float[Tensor, "... seq d_model"]:
        """The mean of each position and all before it."""
        ...

    def run_layernorm(
        self,
        d_model: int,
        eps: float,
        weights: Float[Tensor, "d_model"],
        biases: Float[Tensor, "d_model"],
        in_features: Float[Tensor, "... d_model"],
    ) -> Float[Tensor, "... d_model"]:
        """Each vector moved to mean 0 and scaled to variance 1, then given its gains and offsets."""
        ...

    def run_dropout(
        self, drop_fraction: float, is_training: bool, in_features: Float[Tensor, "..."]
    ) -> Float[Tensor, "..."]:
        """In training, numbers zeroed at random and the others scaled up; torch's global generator draws."""
        ...

    def run_gelu_feedforward(
        self,
        d_model: int,
        d_ff: int,
        w1_weight: Float[Tensor, "d_ff d_model"],
        w1_bias: Float[Tensor, "d_ff"],
        w2_weight: Float[Tensor, "d_model d_ff"],
        w2_bias: Float[Tensor, "d_model"],
        in_features: Float[Tensor, "... d_model"],
    ) -> Float[Tensor, "... d_model"]:
        """`w2(gelu(w1 x))`, both with a bias; GELU by the tanh formula."""
        ...

    def run_grouped_query_attention(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        q_proj_weight: Float[Tensor, "d_model d_in"],
        k_proj_weight: Float[Tensor, "d_kv d_in"],
        v_proj_weight: Float[Tensor, "d_kv d_in"],
        o_proj_weight: Float[Tensor, "d_out d_model"],
        in_features: Float[Tensor, "... seq d_in"],
    ) -> Float[Tensor, "... seq d_out"]:
        """Causal self-attention without positions, keys and values shared by groups of neighbouring heads."""
        ...

    def run_qk_norm_scores(
        self,
        eps: float,
        q_weights: Float[Tensor, "d_k"],
        k_weights: Float[Tensor, "d_k"],
        Q: Float[Tensor, "... q_len d_k"],
        K: Float[Tensor, "... k_len d_k"],
    ) -> Float[Tensor, "... q_len k_len"]:
        """The scores of queries with keys before the softmax, each query and key through an RMSNorm first."""
        ...

    def run_newton_schulz(self, in_matrix: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "d_out d_in"]:
        """Five rounds of Muon's quintic: the same singular vectors, every singular value near one."""
        ...

    def run_muon_step(
        self,
        weights: Float[Tensor, "d_out d_in"],
        gradients: Float[Tensor, "d_out d_in"],
        momentum: Float[Tensor, "d_out d_in"],
        lr: float,
        beta: float,
        weight_decay: float,
    ) -> tuple[Float[Tensor, "d_out d_in"], Float[Tensor, "d_out d_in"]]:
        """Weights and momentum after one step of Muon; the momentum begins as zeros, and is only handed back."""
        ...

    def evaluate_model(
        self,
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
        ...

    def generate_tokens(
        self,
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
        ...

    def train_split_bpe(
        self, input_path: str | os.PathLike[str], vocab_size: int, special_tokens: list[str], pattern: str
    ) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
        """`run_train_bpe` on pre-tokens that another published pattern cuts: a name of `SPLIT_PATTERNS`."""
        ...

    def build_tokenizer(self, files: TokenizerFiles) -> TokenizerLike:
        """The tokenizer of an artifact, of any type and split pattern that the store knows."""
        ...

    def build_model(self, config: ModelShape) -> nn.Module:
        """A freshly initialised model of this shape, on the CPU, its random numbers from torch's global generator."""
        ...

    def train(self, job: TrainJob) -> str:
        """Train to the end of the job, resuming if it was begun before; the digest of the published Checkpoint."""
        ...
