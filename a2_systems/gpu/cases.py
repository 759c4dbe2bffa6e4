"""Which inputs the attention kernels are tried on, and how far from the truth they may be.

The truth is attention in float64. A kernel may err at most twice as much as torch's SDPA does on the same inputs, in
the output and in each gradient, and must give the same bits twice. Such cases run in Triton's interpreter too, smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from a2_systems.kernels.flash_triton import (
    TritonFlashAttention,
    document_bounds,
    flash_backward,
    flash_forward,
)
from a2_systems.kernels.flash_triton_tiles import Tiles, candidates
from a2_systems.kernels.written_out import written_out

OUTPUTS = ("O", "dQ", "dK", "dV")
ERROR_OF_SDPA = 2.0  # times: what was asked for
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Case:
    """One set of inputs."""

    head_dim: int = 64
    q_len: int = 128
    k_len: int = 128
    dtype: str = "bfloat16"
    is_causal: bool = True
    heads: int = 4
    kv_heads: int = 4
    batch: int = 2
    layout: str = (
        "contiguous"  # or "seq first" (a transposed view), "every other" (strides of two), "expanded" dO
    )
    has_documents: bool = False
    magnitude: float = 1.0  # of queries and keys: 30 makes scores of thousands, whose exponentials overflow
    tiles: tuple[Tiles, Tiles] | None = None  # forward and backward; None: what a caller gets

    @property
    def name(self) -> str:
        """What sets this case apart, in a line."""
        marks = [f"d={self.head_dim}", f"q={self.q_len}", f"k={self.k_len}", self.dtype]
        marks += ["causal"] * self.is_causal + ["documents"] * self.has_documents
        marks += [f"heads={self.heads}:{self.kv_heads}"] * (self.heads != self.kv_heads)
        marks += [self.layout] * (self.layout != "contiguous") + [f"x{self.magnitude:g}"] * (
            self.magnitude != 1
        )
        for kernel, tiles in zip(("fwd", "bwd"), self.tiles or (), strict=False):
            marks.append(f"{kernel} {tiles.rows}x{tiles.columns} w{tiles.num_warps} s{tiles.num_stages}")
        return " ".join(marks)


def gpu_cases() -> list[Case]:
    """Every case that runs on a GPU: each property alone at one size, the main ones multiplied out."""
    usual = Case(q_len=384, k_len=384)
    cases = [
        replace(usual, head_dim=head_dim, dtype=dtype, is_causal=is_causal, q_len=300, k_len=300)
        for head_dim, dtype, is_causal in product((16, 32, 64, 80, 128, 192, 256), DTYPES, (False, True))
    ]
    cases += [
        replace(usual, q_len=length, k_len=length, is_causal=is_causal)
        for length, is_causal in product((1, 15, 64, 129, 1024, 4097), (False, True))
    ]
    cases += [
        replace(usual, q_len=q_len, k_len=k_len, is_causal=is_causal)
        for (q_len, k_len), is_causal in product(((1, 777), (100, 384), (383, 384)), (False, True))
    ]
    cases.append(replace(usual, q_len=500, k_len=77, is_causal=False))
    for head_dim in (64, 128):
        base = replace(usual, head_dim=head_dim)
        cases += [replace(base, heads=heads, kv_heads=kv_heads) for heads, kv_heads in ((8, 2), (6, 1))]
        cases += [replace(base, layout=layout) for layout in ("seq first", "every other", "expanded")]
        cases += [replace(base, has_documents=True, is_causal=is_causal) for is_causal in (False, True)]
        cases.append(replace(base, has_documents=True, heads=8, kv_heads=2, q_len=200))
        cases += [
            replace(base, magnitude=magnitude, dtype=dtype) for magnitude in (8, 30) for dtype in DTYPES
        ]
    for head_dim, dtype in product((64, 128, 256), ("bfloat16", "float32")):
        size = DTYPES[dtype].itemsize
        forward, backward = (candidates(kernel, head_dim, size) for kernel in ("forward", "backward"))
        for number in range(max(len(forward), len(backward))):  # every entry of both tables
            pair = forward[min(number, len(forward) - 1)], backward[min(number, len(backward) - 1)]
            cases.append(replace(usual, head_dim=head_dim, dtype=dtype, tiles=pair, q_len=777, k_len=777))
    return cases


def inputs_of(case: Case, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Q, K, V, dO and the documents of a case; the same numbers on every device."""
    generator = torch.Generator().manual_seed(0)

    def tensor(heads: int, length: int, magnitude: float, layout: str) -> Tensor:
        shape = (case.batch, heads, length, case.head_dim)
        if layout == "expanded":
            made = torch.randn(case.batch, heads, 1, 1, generator=generator)
        elif layout == "seq first":
            made = torch.randn(case.batch, length, heads, case.head_dim, generator=generator)
        elif layout == "every other":
            made = torch.randn(*shape[:-1], 2 * case.head_dim, generator=generator)
        else:
            made = torch.randn(shape, generator=generator)
        made = (made * magnitude).to(device, DTYPES[case.dtype])
        if layout == "expanded":
            return made.expand(shape)
        return (
            made.transpose(1, 2)
            if layout == "seq first"
            else made[..., :: 2 if layout == "every other" else 1]
        )

    plain = "contiguous" if case.layout == "expanded" else case.layout
    q = tensor(case.heads, case.q_len, case.magnitude, plain)
    k = tensor(case.kv_heads, case.k_len, case.magnitude, plain)
    v = tensor(case.kv_heads, case.k_len, 1.0, plain)
    output_gradient = tensor(case.heads, case.q_len, 1.0, case.layout)
    if not case.has_documents:
        return q, k, v, output_gradient, None
    # Documents of one position, of many tiles and of all that lies between; not the same in both sequences.
    changes = torch.rand(case.batch, case.k_len, generator=generator) < 0.2
    changes[:, case.k_len // 2 :] &= torch.rand(case.batch, 1, generator=generator) < 0.5
    return q, k, v, output_gradient, changes.cumsum(dim=1).to(device)


def seen(case: Case, documents: Tensor | None, device: str) -> Tensor | None:
    """True where a query sees a key; None where all are seen."""
    if not case.is_causal and documents is None:
        return None
    mask = torch.ones(1, 1, case.q_len, case.k_len, dtype=torch.bool, device=device)
    if case.is_causal:
        mask = mask.tril(case.k_len - case.q_len)
    if documents is not None:
        of_queries = documents[:, case.k_len - case.q_len :]
        mask = mask & (of_queries[:, None, :, None] == documents[:, None, None, :])
    return mask


def with_gradients(
    attention: Callable[[Tensor, Tensor, Tensor], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    output_gradient: Tensor,
) -> list[Tensor]:
    """O, dQ, dK, dV of an attention function."""
    leaves = [tensor.detach().requires_grad_() for tensor in (q, k, v)]
    output = attention(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, output_gradient)]


def errors_of(case: Case, device: str, is_repeated: bool = True) -> dict[str, Any]:
    """The largest error of ours and of SDPA in each output; whether ours keeps within its limit and to its bits."""
    q, k, v, output_gradient, documents = inputs_of(case, device)
    mask = seen(case, documents, device)
    group = case.heads // case.kv_heads

    def grouped(attention: Callable[..., Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask)

        return attend

    wide = [tensor.double() for tensor in (q, k, v, output_gradient)]
    truth = with_gradients(grouped(written_out), *wide)
    theirs = with_gradients(grouped(F.scaled_dot_product_attention), q, k, v, output_gradient)

    def ours() -> list[Tensor]:
        if case.tiles is None:
            return with_gradients(
                lambda q, k, v: TritonFlashAttention.apply(q, k, v, case.is_causal, documents),
                q,
                k,
                v,
                output_gradient,
            )
        bounds = None if documents is None else document_bounds(documents)
        forward, backward = case.tiles
        output, sums = flash_forward(q, k, v, case.is_causal, bounds, (forward,))
        gradients = flash_backward(
            q, k, v, output, output_gradient, sums, case.is_causal, bounds, (backward,)
        )
        return [output, *gradients]

    first = ours()
    second = ours() if is_repeated else first
    row: dict[str, Any] = {"case": case.name, "repeats": all(map(torch.equal, first, second)), "ok": True}
    for name, exact, mine, other in zip(OUTPUTS, truth, first, theirs, strict=True):
        # SDPA may hit the truth by luck, on one key for example: half a unit in the last place is always allowed.
        unavoidable = torch.finfo(mine.dtype).eps * exact.abs().max().item()
        row[name] = (mine.double() - exact).abs().max().item()
        row[f"{name} of SDPA"] = (other.double() - exact).abs().max().item()
        # `not <=` instead of `>`: an error that is no number must not pass
        if not row[name] <= max(ERROR_OF_SDPA * row[f"{name} of SDPA"], unavoidable):
            row["ok"] = False
    row["ok"] = row["ok"] and row["repeats"]
    return row
