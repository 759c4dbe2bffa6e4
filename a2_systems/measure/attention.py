"""Attention in three ways, each timed forward and backward, with what it keeps for the backward pass.

Written out, it keeps a matrix of weights: bytes grow with the square of the length. By tiles and in torch's own kernel
they grow with the length. What an implementation keeps follows from its shapes, so it is predicted and counted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from a2_systems.kernels.flash_tiled import FlashAttention
from a2_systems.measure.memory import KeptBytes
from a2_systems.measure.timer import BACKWARD, FORWARD, time_phases

WRITTEN_OUT, TILES, TRITON, SDPA = "written out", "tiles", "Triton", "SDPA"
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """What goes in: queries, keys and values of one shape."""

    batch: int
    heads: int
    seq: int
    head_dim: int
    dtype: torch.dtype = torch.float32
    is_causal: bool = True

    @property
    def size(self) -> tuple[int, int, int, int]:
        return self.batch, self.heads, self.seq, self.head_dim

    @property
    def tensor_bytes(self) -> int:
        """Of the queries alone."""
        return math.prod(self.size) * self.dtype.itemsize

    @property
    def matrix_bytes(self) -> int:
        """Of one matrix of scores, all heads together."""
        return self.batch * self.heads * self.seq**2 * self.dtype.itemsize


def written_out(
    q: Float[Tensor, "batch heads seq d"],
    k: Float[Tensor, "batch heads seq d"],
    v: Float[Tensor, "batch heads seq d"],
    is_causal: bool,
) -> Float[Tensor, "batch heads seq d"]:
    """Attention as its equation says it."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(hidden, -math.inf)
    return torch.softmax(scores, dim=-1) @ v


def implementations(is_causal: bool, device: torch.device) -> dict[str, Attention]:
    """Those that run on a device, by name."""
    found: dict[str, Attention] = {
        WRITTEN_OUT: lambda q, k, v: written_out(q, k, v, is_causal),
        TILES: lambda q, k, v: FlashAttention.apply(q, k, v, is_causal),  # type: ignore[dict-item]
        SDPA: lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=is_causal),
    }
    if device.type == "cuda":
        from a2_systems.kernels.flash_triton import TritonFlashAttention

        found[TRITON] = lambda q, k, v: TritonFlashAttention.apply(q, k, v, is_causal)  # type: ignore[assignment]
    return found


def predicted_kept_bytes(name: str, shape: Shape) -> int:
    """Bytes kept for the backward pass, inputs among them.

    Written out: queries, keys, values, the weights, and the mask of a byte for each pair. Otherwise the result and a
    float32 for each query take the place of weights and mask.
    """
    if name == WRITTEN_OUT:
        return 3 * shape.tensor_bytes + shape.matrix_bytes + shape.seq**2 * shape.is_causal
    return 4 * shape.tensor_bytes + 4 * math.prod(shape.size[:3])


def predicted_peak_bytes(name: str, shape: Shape) -> int:
    """The least that a forward and a backward pass take: what is kept, three gradients and the one that comes in.

    Written out, two more matrices live beside the weights: their gradient and that of the scores.
    """
    matrices = 2 * shape.matrix_bytes if name == WRITTEN_OUT else 0
    return predicted_kept_bytes(name, shape) + 4 * shape.tensor_bytes + matrices


def free_bytes(device: torch.device) -> int:
    """What a device could still give."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def measured(
    name: str,
    attention: Attention,
    shape: Shape,
    device: torch.device,
    *,
    warmups: int,
    repeats: int,
    memory_bytes: int,
) -> dict[str, Any]:
    """A row: both times and the bytes kept, or that memory does not suffice.

    A processor's allocator promises more than there is and lets the system end the process, so what cannot fit in
    `memory_bytes` is not begun; a GPU's says so itself, and that is a row as well.
    """
    row: dict[str, Any] = {
        "attention": name,
        "head_dim": shape.head_dim,
        "seq": shape.seq,
        "dtype": str(shape.dtype).removeprefix("torch."),
        "predicted_kept_bytes": predicted_kept_bytes(name, shape),
        "predicted_peak_bytes": predicted_peak_bytes(name, shape),
    }
    if row["predicted_peak_bytes"] > memory_bytes:
        return row | {"outcome": "out of memory"}
    try:
        return row | {"outcome": "measured"} | _run(attention, shape, device, warmups, repeats)
    except torch.OutOfMemoryError:
        return row | {"outcome": "out of memory"}
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        return row | {"outcome": "out of memory"}


def _run(
    attention: Attention, shape: Shape, device: torch.device, warmups: int, repeats: int
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(shape.size, generator=generator).to(device, shape.dtype).requires_grad_()
        for _ in range(3)
    ]
    pull = torch.randn(shape.size, generator=generator).to(device, shape.dtype)
    outputs: list[Tensor] = []
    with KeptBytes() as kept, Backends() as backends:
        output = attention(*leaves)
    row: dict[str, Any] = {"kept_memory_bytes": kept.now_bytes, "backend": backends.name}
    del output
    timings = time_phases(
        {
            FORWARD: lambda: outputs.append(attention(*leaves)),
            BACKWARD: lambda: torch.autograd.grad(outputs.pop(), leaves, pull),
        },
        device=device,
        warmups=warmups,
        repeats=repeats,
    )
    for phase, timing in timings.items():
        row |= {f"{phase}_seconds": timing.spread.median, f"{phase}_std_seconds": timing.std}
    return row


class Backends(TorchDispatchMode):
    """Which of torch's attention kernels are called inside it."""

    _CALLED = "_scaled_dot_product_"

    def __init__(self) -> None:
        super().__init__()
        self.name = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = func._schema.name.rpartition("::")[2]
        if called.startswith(self._CALLED):
            words = called.removeprefix(self._CALLED).replace("_attention", "").replace("_for_cpu", "")
            self.name = words.removeprefix("fused_").upper()
        return func(*args, **(kwargs or {}))
