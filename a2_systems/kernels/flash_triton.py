"""FlashAttention-2 as Triton kernels, forward and backward: the fast twin of `flash_tiled.FlashAttention`.

Only O and one number per query, the log-sum-exp of its scores, are kept for the backward pass, which computes the
weights again tile by tile. Strides travel into the kernels: no input is ever copied to be contiguous.

Source: [flash2-2023] algorithms 1 and 2.
"""

import math
from typing import Any

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from a2_systems.kernels.flash_triton_backward import key_value_gradient_kernel, query_gradient_kernel
from a2_systems.kernels.flash_triton_forward import forward_kernel
from a2_systems.kernels.flash_triton_tiles import INTERPRETED, Tiles, candidates, launch

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
WIDEST_HEAD = 256


class TritonFlashAttention(torch.autograd.Function):
    """`apply(Q, K, V, is_causal=False, documents=None)` -> O, shaped like Q.

    Q (..., q_len, d), K and V (..., k_len, d). With four dimensions, (batch, heads, q_len, d) may meet
    (batch, kv_heads, k_len, d): each key head then serves heads / kv_heads query heads. Queries are the last q_len of
    k_len positions.
    `documents` (batch, k_len), one id per position, keeps attention inside runs of equal ids.
    """

    @staticmethod
    def forward(
        ctx: Any, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False, documents: Tensor | None = None
    ) -> Tensor:
        _check(Q, K, V, is_causal, documents)
        bounds = None if documents is None else document_bounds(documents)
        O, L = flash_forward(Q, K, V, is_causal, bounds)
        ctx.save_for_backward(Q, K, V, O, L, *(() if bounds is None else (bounds,)))
        ctx.is_causal = is_causal
        return O

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        Q, K, V, O, L, *rest = ctx.saved_tensors
        bounds = rest[0] if rest else None
        return *flash_backward(Q, K, V, O, gradients[0], L, ctx.is_causal, bounds), None, None


def flash_forward(
    Q: Float[Tensor, "... q_len d"],
    K: Float[Tensor, "... k_len d"],
    V: Float[Tensor, "... k_len d"],
    is_causal: bool = False,
    bounds: Int[Tensor, "2 batch k_len"] | None = None,
    tiles: tuple[Tiles, ...] | None = None,
) -> tuple[Float[Tensor, "... q_len d"], Float[Tensor, "... q_len"]]:
    """O and the log-sum-exp L, shaped like Q without its last dimension; `tiles` replaces the usual candidates."""
    O = torch.empty_like(Q)
    L = torch.empty(Q.shape[:-1], device=Q.device, dtype=torch.float32)
    q, k, v, o = (_by_heads(tensor) for tensor in (Q, K, V, O))
    with _on_device(Q):
        launch(
            forward_kernel,
            tiles or candidates("forward", Q.shape[-1], Q.element_size()),
            q.shape[2],
            q.shape[0] * q.shape[1],
            **{"Q": q, "K": k, "V": v, "O": o, "L": L},
            **{
                "q_strides": q.stride(),
                "k_strides": k.stride(),
                "v_strides": v.stride(),
                "o_strides": o.stride(),
            },
            **_sizes(q, k, is_causal, bounds),
        )
    return _shaped_like(o, Q, O), L


def flash_backward(
    Q: Float[Tensor, "... q_len d"],
    K: Float[Tensor, "... k_len d"],
    V: Float[Tensor, "... k_len d"],
    O: Float[Tensor, "... q_len d"],
    dO: Float[Tensor, "... q_len d"],
    L: Float[Tensor, "... q_len"],
    is_causal: bool = False,
    bounds: Int[Tensor, "2 batch k_len"] | None = None,
    tiles: tuple[Tiles, ...] | None = None,
) -> tuple[Float[Tensor, "... q_len d"], Float[Tensor, "... k_len d"], Float[Tensor, "... k_len d"]]:
    """dQ, dK and dV from what the forward pass kept and the gradient of its output."""
    dQ, dK, dV = torch.empty_like(Q), torch.empty_like(K), torch.empty_like(V)
    D = torch.empty_like(L)
    q, k, v, o, do, dq, dk, dv = (_by_heads(tensor) for tensor in (Q, K, V, O, dO, dQ, dK, dV))
    tiles = tiles or candidates("backward", Q.shape[-1], Q.element_size())
    sizes = _sizes(q, k, is_causal, bounds)
    with _on_device(Q):
        launch(  # first, since it also computes D
            query_gradient_kernel,
            tiles,
            q.shape[2],
            q.shape[0] * q.shape[1],
            **{"Q": q, "K": k, "V": v, "O": o, "dO": do, "L": L, "D": D, "dQ": dq},
            **{
                "q_strides": q.stride(),
                "k_strides": k.stride(),
                "v_strides": v.stride(),
                "o_strides": o.stride(),
            },
            **{"do_strides": do.stride(), "dq_strides": dq.stride()},
            **sizes,
        )
        launch(
            key_value_gradient_kernel,
            tiles,
            k.shape[2],
            k.shape[0] * k.shape[1],
            **{"Q": q, "K": k, "V": v, "dO": do, "L": L, "D": D, "dK": dk, "dV": dv},
            **{
                "q_strides": q.stride(),
                "k_strides": k.stride(),
                "v_strides": v.stride(),
                "do_strides": do.stride(),
            },
            **{"dk_strides": dk.stride(), "dv_strides": dv.stride()},
            **sizes,
        )
    return _shaped_like(dq, Q, dQ), _shaped_like(dk, K, dK), _shaped_like(dv, V, dV)


def document_bounds(documents: Int[Tensor, "batch k_len"]) -> Int[Tensor, "2 batch k_len"]:
    """(2, batch, k_len): where the document of each position begins, and where it ends (one past its last).

    >>> document_bounds(torch.tensor([[7, 7, 3, 9, 9]])).tolist()
    [[[0, 0, 2, 3, 3]], [[2, 2, 3, 5, 5]]]
    """
    k_len = documents.shape[-1]
    places = torch.arange(k_len, device=documents.device).expand_as(documents)
    changes = documents[:, 1:] != documents[:, :-1]
    begins = torch.nn.functional.pad(changes, (1, 0), value=True)
    ends = torch.nn.functional.pad(changes, (0, 1), value=True)
    begin = torch.where(begins, places, 0).cummax(dim=1).values
    end = torch.where(ends, places + 1, k_len).flip(1).cummin(dim=1).values.flip(1)
    return torch.stack([begin, end]).to(torch.int32)


def _by_heads(tensor: Tensor) -> Tensor:
    """(batch, heads, length, d): a sequence without heads has one, and dimensions before the heads are batch."""
    if tensor.dim() < 4:
        return tensor.reshape(-1, 1, *tensor.shape[-2:]) if tensor.dim() == 2 else tensor[:, None]
    return tensor if tensor.dim() == 4 else tensor.flatten(0, -4)


def _shaped_like(by_heads: Tensor, source: Tensor, made: Tensor) -> Tensor:
    """What a kernel wrote, in its caller's shape; `made` itself unless flattening had to copy it."""
    return made if by_heads.data_ptr() == made.data_ptr() else by_heads.reshape(source.shape)


def _sizes(q: Tensor, k: Tensor, is_causal: bool, bounds: Tensor | None) -> dict[str, Any]:
    """The arguments that all three kernels share."""
    (batches, heads, q_len, head_dim), (_, kv_heads, k_len, _) = q.shape, k.shape
    return {
        "bounds": bounds,
        "batches": batches,
        "heads": heads,
        "group": heads // kv_heads,
        "q_len": q_len,
        "k_len": k_len,
        "scale": 1 / math.sqrt(head_dim),
        "HEAD_DIM": head_dim,
        "WIDTH": max(16, triton.next_power_of_2(head_dim)),  # tl.dot wants powers of two, 16 at least
        "IS_CAUSAL": is_causal,
        "HAS_DOCUMENTS": bounds is not None,
    }


def _on_device(tensor: Tensor) -> Any:
    """Kernels are launched on the current device: make it the tensor's."""
    return torch.cuda.device(tensor.device if tensor.is_cuda else -1)


def _check(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool, documents: Tensor | None) -> None:
    """Refuse what the kernels would compute wrongly.

    Raises:
        ValueError: what came, what was wanted.
    """
    if not Q.is_cuda and not INTERPRETED:
        raise ValueError(
            f"a Triton kernel got a tensor on {Q.device}; wanted one on a GPU, or TRITON_INTERPRET=1 in the "
            "environment before triton is imported; flash_tiled.FlashAttention runs anywhere"
        )
    if not (Q.dtype == K.dtype == V.dtype) or Q.dtype not in DTYPES:
        raise ValueError(f"got Q {Q.dtype}, K {K.dtype}, V {V.dtype}; wanted one of {DTYPES} for all three")
    if not Q.dim() == K.dim() >= 2 or K.shape != V.shape or Q.shape[-1] != K.shape[-1]:
        raise ValueError(
            f"got Q {tuple(Q.shape)}, K {tuple(K.shape)}, V {tuple(V.shape)}; wanted (..., q_len, d), (..., k_len, d) "
            "and K's shape again"
        )
    if not 1 <= Q.shape[-1] <= WIDEST_HEAD or 0 in Q.shape or 0 in K.shape:
        raise ValueError(
            f"got Q {tuple(Q.shape)}, K {tuple(K.shape)}; wanted d from 1 to {WIDEST_HEAD}, nothing empty"
        )
    grouped = Q.dim() >= 4 and Q.shape[:-3] == K.shape[:-3] and Q.shape[-3] % K.shape[-3] == 0
    if not grouped and Q.shape[:-2] != K.shape[:-2]:
        raise ValueError(
            f"got Q {tuple(Q.shape)}, K {tuple(K.shape)}; wanted equal leading dimensions, or (batch, heads, ...) "
            "with a multiple of K's heads"
        )
    if (is_causal or documents is not None) and Q.shape[-2] > K.shape[-2]:
        raise ValueError(
            f"got q_len {Q.shape[-2]}, k_len {K.shape[-2]}; wanted q_len <= k_len: under a mask the queries are "
            "the last q_len of k_len positions"
        )
    if documents is not None:
        batch = math.prod(Q.shape[:-3]) if Q.dim() >= 4 else math.prod(Q.shape[:-2])
        if documents.shape != (batch, K.shape[-2]) or documents.device != Q.device:
            raise ValueError(
                f"got documents {tuple(documents.shape)} on {documents.device}; wanted ({batch}, {K.shape[-2]}) "
                f"on {Q.device}"
            )
