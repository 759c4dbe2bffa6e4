"""The door of stage 2: the only module of `a2_systems` that other stages, `shared` and the graded tests reach.

The first eight functions are those of the public assignment 2, the next five those of its 2025 edition; the rest is
ours. Each is a few lines: the work is done inside the stage. Triton is imported when a kernel is asked for.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim

from a2_systems.kernels.attend import best_attention
from a2_systems.kernels.flash_tiled import FlashAttention
from a2_systems.parallel import activation_checkpointing, tensor_parallel
from a2_systems.parallel.collectives import ring_all_reduce
from a2_systems.parallel.ddp import BucketedDDP, OverlappedDDP
from a2_systems.parallel.ddp_naive import NaiveDDP
from a2_systems.parallel.fsdp import FSDP
from a2_systems.parallel.parallelize import parallelize as spread
from a2_systems.parallel.pipeline.schedules import schedule_named
from a2_systems.parallel.sharded_optimizer import sharded_optimizer
from shared.doors.inference import ChatJob, Engine, EngineConfig, ServeJob
from shared.doors.protocols import Attend, ModelConfig, TokenizerLike
from shared.doors.systems import ParallelJob, ParallelTraining, Spread, Strategy


def get_flashattention_autograd_function_pytorch() -> type[torch.autograd.Function]:
    """Attention by tiles, in plain torch."""
    return FlashAttention


def get_flashattention_autograd_function_triton() -> type[torch.autograd.Function]:
    """The same tiles as Triton kernels."""
    from a2_systems.kernels.flash_triton import TritonFlashAttention

    return TritonFlashAttention


def run_ring_all_reduce(tensor: Tensor) -> None:
    """Sum over the ranks, in place, by messages between neighbours."""
    ring_all_reduce(tensor)


def get_naive_ddp(module: nn.Module) -> nn.Module:
    """Gradients leave when backward is over."""
    return NaiveDDP(module)


def naive_ddp_on_after_backward(ddp_model: NaiveDDP, optimizer: optim.Optimizer) -> None:
    """Average the gradients."""
    ddp_model.finish_gradient_synchronization()


def get_ddp(module: nn.Module) -> nn.Module:
    """Gradients leave as soon as they are there, one message for each parameter."""
    return OverlappedDDP(module)


def ddp_on_after_backward(ddp_model: OverlappedDDP, optimizer: optim.Optimizer) -> None:
    """Wait for the last gradient."""
    ddp_model.finish_gradient_synchronization()


def get_fsdp(module: nn.Module, compute_dtype: torch.dtype | None = None) -> nn.Module:
    """Each rank keeps a part of every matrix."""
    return FSDP(module, compute_dtype)


def fsdp_on_after_backward(fsdp_model: FSDP, optimizer: optim.Optimizer) -> None:
    """Wait for the last gradient."""
    fsdp_model.finish_gradient_synchronization()


def fsdp_gather_full_params(fsdp_model: FSDP) -> dict[str, Tensor]:
    """Every full parameter, by its name in the unwrapped module."""
    return fsdp_model.full_parameters()


def get_sharded_optimizer(
    params: Iterable[Any], optimizer_cls: Callable[..., optim.Optimizer], **kwargs: Any
) -> optim.Optimizer:
    """Each rank updates its share of the parameters and sends them to the others."""
    return sharded_optimizer(params, optimizer_cls, **kwargs)


def get_ddp_individual_parameters(module: nn.Module) -> nn.Module:
    """The name of `get_ddp` in 2025."""
    return get_ddp(module)


def ddp_individual_parameters_on_after_backward(ddp_model: OverlappedDDP, optimizer: optim.Optimizer) -> None:
    """The name of `ddp_on_after_backward` in 2025."""
    ddp_on_after_backward(ddp_model, optimizer)


def get_ddp_bucketed(module: nn.Module, bucket_size_mb: float) -> nn.Module:
    """One message for each bucket of parameters."""
    return BucketedDDP(module, bucket_size_mb)


def ddp_bucketed_on_after_backward(ddp_model: BucketedDDP, optimizer: optim.Optimizer) -> None:
    """Wait for the last bucket."""
    ddp_model.finish_gradient_synchronization()


def ddp_bucketed_on_train_batch_start(ddp_model: BucketedDDP, optimizer: optim.Optimizer) -> None:
    """Nothing: buckets empty themselves."""


def attention_kernel() -> Attend:
    """The fastest attention of this machine, for the model's slot: Triton on a GPU, torch's fused kernel elsewhere."""
    return best_attention


def parallelize(model: nn.Module, optimizer: optim.Optimizer, strategy: Strategy) -> Spread:
    """Spread a model and its new optimizer over the ranks."""
    return spread(model, optimizer, strategy)


def train_parallel(job: ParallelJob) -> ParallelTraining | None:
    """Train on all ranks, by what the job's implementation has of its own."""
    from a2_systems.parallel.train import train_parallel

    return train_parallel(job)


def run_checkpointed(function: Callable[..., Any], *args: Any) -> Any:
    """Keep what goes in, compute the inside again."""
    return activation_checkpointing.run_checkpointed(function, *args)


def pipeline_schedule(name: str, num_stages: int, num_microbatches: int) -> list[list[tuple[str, int, int]]]:
    """The lists of actions, each action in plain words."""
    ranks = schedule_named(name, num_stages, num_microbatches).ranks
    return [[(kind.value, stage, microbatch) for kind, stage, microbatch in actions] for actions in ranks]


def column_parallel_linear(in_features: Tensor, weight_part: Tensor) -> Tensor:
    """The identity into the ranks, and this rank's outputs."""
    return tensor_parallel.column_parallel_linear(in_features, weight_part)


def row_parallel_linear(in_features_part: Tensor, weight_part: Tensor) -> Tensor:
    """This rank's term, and the sum out of the ranks."""
    return tensor_parallel.row_parallel_linear(in_features_part, weight_part)


def build_engine(
    model: nn.Module, shape: ModelConfig, tokenizer: TokenizerLike, config: EngineConfig
) -> Engine:
    """Continuous batching over a paged cache."""
    from a2_systems.inference.engine import PagedEngine

    return PagedEngine(model, shape, tokenizer.vocab, config)


def serve(job: ServeJob) -> None:
    """OpenAI's interface and a page."""
    from a2_systems.inference.serve import serve_job

    serve_job(job)


def chat(job: ChatJob) -> None:
    """A line in, an answer out."""
    from a2_systems.inference.terminal import chat_job

    chat_job(job)
