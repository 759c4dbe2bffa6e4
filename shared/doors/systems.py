"""What stage 2 offers through its door: kernels, and training on several devices.

The first eight names are those of the public assignment 2, the next five those of its 2025 edition; the rest is ours.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn, optim

from shared.doors.inference import ChatJob, Engine, EngineConfig, ServeJob
from shared.doors.protocols import Attend, ModelConfig, TokenizerLike, TrainJob
from shared.errors import ConfigError

StrategyName = Literal[
    "single", "naive", "flat", "overlap", "bucketed", "zero1", "fsdp", "tensor", "pipeline"
]
ScheduleName = Literal["gpipe", "1f1b", "interleaved", "zero_bubble", "dualpipe"]

TAKERS = {"bucket_size_mb": ("bucketed", "zero1"), "compute_dtype": ("fsdp",), "schedule": ("pipeline",)}
"""Settings that only some strategies have a use for."""


@dataclass(frozen=True)
class Strategy:
    """How a training is spread over ranks; up to fsdp each name adds one idea to the one before it."""

    # single: one rank; naive: a message for each gradient; flat: one for all; overlap: sent while backward runs;
    # bucketed: in buckets; zero1: optimizer state shared out; fsdp: parameters, gradients and state shared out.
    # Here all ranks read the same rows. tensor: each has some heads, hidden units and tokens; pipeline: some blocks
    name: StrategyName = "bucketed"
    bucket_size_mb: float = 25.0  # MiB of gradients in a message, for bucketed and zero1
    compute_dtype: Literal["float32", "bfloat16"] = (
        "float32"  # fsdp alone: in which matrices travel and layers compute
    )
    microbatches: int = 1  # equal pieces of a rank's rows, whose gradients add up; they fill a pipeline
    # pipeline alone: the order of its work; zero_bubble waits least at the memory of 1f1b
    schedule: ScheduleName = "1f1b"

    def __post_init__(self) -> None:
        for setting, takers in TAKERS.items():
            default = type(self).__dataclass_fields__[setting].default
            value = getattr(self, setting)
            if value != default and self.name not in takers:
                raise ConfigError(
                    f"{setting}={value} is for strategy {' and '.join(takers)}, and {self.name} would ignore it: "
                    f"leave it at {default}, or take a strategy that has a use for it"
                )


@dataclass(frozen=True)
class ParallelJob(TrainJob):
    """A training run of stage 1, spread over ranks: `batch_size` is that of all ranks together."""

    # single, naive, flat, overlap, bucketed, zero1 or fsdp: each adds one idea to the one before it. tensor or
    # pipeline: all ranks read the whole batch, and each has some heads, hidden units and tokens, or some blocks
    strategy: StrategyName = "bucketed"
    bucket_size_mb: float = 25.0  # MiB of gradients in a message, for bucketed and zero1
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # fsdp alone: in which matrices travel
    # gpipe, 1f1b, interleaved, zero_bubble or dualpipe, pipeline alone: the order of its work. It wants several
    # microbatches for each rank: with fewer, ranks wait
    schedule: ScheduleName = "1f1b"

    @property
    def spread(self) -> Strategy:
        """What `parallelize` is asked for."""
        return Strategy(
            self.strategy, self.bucket_size_mb, self.compute_dtype, self.microbatches, self.schedule
        )


@dataclass(frozen=True)
class ParallelTraining:
    """What a training over ranks leaves behind, beside what it costs each of them."""

    checkpoint: str  # the digest
    log: Path  # a record of each step that was written down
    # of each rank between two steps: parameters, their gradients, optimizer state
    held_bytes: tuple[tuple[int, int, int], ...]
    peak_bytes: tuple[
        int, ...
    ]  # of each rank, the most it held in one step, measured; 0: it did fewer than two


Forward = Callable[[nn.Module, Tensor], Tensor]
"""Calls a model, or a piece of it, on a piece of a batch: in which precision, and with which attention."""

LossOf = Callable[[Tensor, Tensor], Tensor]
"""(logits, targets) -> the mean cross-entropy in nats per token."""


@runtime_checkable
class Spread(Protocol):
    """A model and its optimizer, spread over ranks by `parallelize`. All methods are called on every rank."""

    model: nn.Module
    optimizer: optim.Optimizer

    @property
    def batch_multiple(self) -> int:
        """A batch must be a multiple of so many sequences."""
        ...

    def forward_backward(self, inputs: Tensor, targets: Tensor, forward: Forward, loss_of: LossOf) -> Tensor:
        """The mean loss of a batch that all ranks are given, on all of them; its gradient is added to every `.grad`.

        Who computes what of it is the strategy's affair. `loss_of` is the mean cross-entropy: a strategy whose logits
        never lie in one place computes that itself.
        """
        ...

    def clip(self, max_norm: float) -> float:
        """Scale the gradients so that their joint norm is at most this; the norm that was found."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """Every whole parameter and buffer under its name in the unwrapped model: on rank 0.

        The other ranks help to gather them, and what they get may be empty: none has room for all.
        """
        ...

    def optimizer_state(self) -> dict[str, Any]:
        """The whole state, as the optimizer of one device would save it: on rank 0, as with `weights`."""
        ...

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        """Take both back, whatever number of ranks they come from."""
        ...

    @property
    def exposed_seconds(self) -> float | None:
        """How long the last step waited for messages with nothing else to do; None where it is not measured."""
        ...


@runtime_checkable
class SystemsDoor(Protocol):
    """Stage 2: the same numbers as stage 1, faster, on more devices, in less memory."""

    def get_flashattention_autograd_function_pytorch(self) -> type[torch.autograd.Function]:
        """The class whose `apply(Q, K, V, is_causal)` is attention by tiles, in plain torch."""
        ...

    def get_flashattention_autograd_function_triton(self) -> type[torch.autograd.Function]:
        """The same, its forward pass a Triton kernel."""
        ...

    def run_ring_all_reduce(self, tensor: Tensor) -> None:
        """Sums a tensor over all ranks in place, by `send` and `recv` (or `isend`, `irecv`) alone."""
        ...

    def get_naive_ddp(self, module: nn.Module) -> nn.Module:
        """As `get_ddp`, the plain way: nothing is sent before backward is over."""
        ...

    def naive_ddp_on_after_backward(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: afterwards gradients are means over the ranks."""
        ...

    def get_ddp(self, module: nn.Module) -> nn.Module:
        """Wraps a module so that every rank trains the same weights; the module itself is `.module`."""
        ...

    def ddp_on_after_backward(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: afterwards gradients are means over the ranks."""
        ...

    def get_fsdp(self, module: nn.Module, compute_dtype: torch.dtype | None = None) -> nn.Module:
        """Wraps a module so that each rank keeps a part of every matrix; the module itself is `.module`."""
        ...

    def fsdp_on_after_backward(self, fsdp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: afterwards each shard has its mean gradient."""
        ...

    def fsdp_gather_full_params(self, fsdp_model: nn.Module) -> dict[str, Tensor]:
        """Every full parameter under the name it has in the unwrapped module; called on all ranks."""
        ...

    def get_sharded_optimizer(
        self, params: Iterable[Any], optimizer_cls: Callable[..., optim.Optimizer], **kwargs: Any
    ) -> optim.Optimizer:
        """An optimizer whose state is spread over the ranks."""
        ...

    def get_ddp_individual_parameters(self, module: nn.Module) -> nn.Module:
        """The name of `get_ddp` in 2025."""
        ...

    def ddp_individual_parameters_on_after_backward(
        self, ddp_model: nn.Module, optimizer: optim.Optimizer
    ) -> None:
        """The name of `ddp_on_after_backward` in 2025."""
        ...

    def get_ddp_bucketed(self, module: nn.Module, bucket_size_mb: float) -> nn.Module:
        """As `get_ddp`, gradients travelling in buckets of at most this size."""
        ...

    def ddp_bucketed_on_after_backward(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: waits for the buckets."""
        ...

    def ddp_bucketed_on_train_batch_start(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called before each batch."""
        ...

    def attention_kernel(self) -> Attend:
        """The fastest attention of this machine, for the model's `attend` slot."""
        ...

    def parallelize(self, model: nn.Module, optimizer: optim.Optimizer, strategy: Strategy) -> Spread:
        """Spread a model and its new optimizer over the ranks."""
        ...

    def train_parallel(self, job: ParallelJob) -> ParallelTraining | None:
        """Train to the end of the job on all ranks of the process group, resuming if it was begun before.

        Rank 0 publishes and tells; the others return None, and so do all where it had been done before.
        """
        ...

    def run_checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, of which only the arguments are kept; its inside is computed again for the gradients."""
        ...

    def pipeline_schedule(
        self, name: str, num_stages: int, num_microbatches: int
    ) -> list[list[tuple[str, int, int]]]:
        """For each rank its actions in order, as (kind, stage, microbatch).

        Names are gpipe, 1f1b and zero_bubble, in which rank r holds stage r. Kinds are F for a forward pass, B for a
        backward pass, or its halves: I for the gradient of the input, W for those of the weights.
        """
        ...

    def column_parallel_linear(self, in_features: Tensor, weight_part: Tensor) -> Tensor:
        """This rank's outputs of `x W^T`, of which it has some rows of W and all of x."""
        ...

    def row_parallel_linear(self, in_features_part: Tensor, weight_part: Tensor) -> Tensor:
        """All outputs of `x W^T`, of which each rank has some columns of W and those features of x."""
        ...

    def build_engine(
        self, model: nn.Module, shape: ModelConfig, tokenizer: TokenizerLike, config: EngineConfig
    ) -> Engine:
        """What answers many requests to a model at once."""
        ...

    def serve(self, job: ServeJob) -> None:
        """Serve a checkpoint, with a page to talk to it, until Ctrl-C or SIGTERM."""
        ...

    def chat(self, job: ChatJob) -> None:
        """Talk to a checkpoint in the terminal until the input ends."""
        ...
