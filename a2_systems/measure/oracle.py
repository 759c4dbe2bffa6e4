"""How far every kernel is from the truth, with how far it may be.

The truth is the same computation in float64. A kernel may err at most twice as much as the plain version in its own
format does on the same inputs (attention: as torch's SDPA), in its result and in each gradient. Errors are root mean
squares: the largest of a few hundred roundings is luck. Two roundings of a number of usual size are always allowed,
since on a single number the plain version may be lucky too. A kernel must also give the same bits twice.

Triton's kernels run on a GPU, elsewhere in Triton's interpreter, which has to be chosen before Triton is imported:
so `choose_interpreter` comes first, and what imports Triton is imported afterwards, inside functions.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from a2_systems.kernels.flash_tiled import FlashAttention
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import plain_rms_norm
from shared.errors import ConfigError

ERROR_OF_PLAIN = 2.0  # times
ROUNDINGS = 2.0  # always allowed
Function = Callable[..., Tensor]
Row = dict[str, Any]


def choose_interpreter(device: torch.device) -> None:
    """Let Triton's kernels run on a CPU.

    Raises:
        ConfigError: Triton was imported before, and would compile for a GPU.
    """
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        return
    if "triton" in sys.modules:
        raise ConfigError("Triton is imported already, for a GPU; start this program in a process of its own")
    os.environ["TRITON_INTERPRET"] = "1"


def rows_of_all(device: torch.device, length: int, num_rows: int) -> Iterator[Row]:
    """A row for each kernel and case: errors and bounds of its result and of its gradients, by name."""
    if find_spec("triton") is None:
        for kernel in ("Triton attention", "Triton RMSNorm"):
            yield {"run": kernel, "kernel": kernel, "outcome": "not checked: Triton is not installed"}
    else:
        yield from _attention_rows(device, length)
        yield from _rms_norm_rows(device, num_rows)
    yield from _loss_rows(device, num_rows)


def _attention_rows(device: torch.device, length: int) -> Iterator[Row]:
    """Both kinds of tiles. Imports Triton, whose inputs and cases these are."""
    from a2_systems.gpu.cases import Case, inputs_of, seen, written_out
    from a2_systems.kernels.flash_triton import TritonFlashAttention

    width = 16 if device.type == "cpu" else 64  # the interpreter takes its time
    base = Case(width, length, length, "float32", heads=2, kv_heads=2, batch=1)
    cases = {
        "causal": base,
        "all keys, scores in the thousands": replace(base, is_causal=False, magnitude=30.0),
        "fewer queries, shared heads": replace(base, q_len=length // 2, kv_heads=1),
        "documents": replace(base, has_documents=True),
        "float16": replace(base, dtype="float16"),
    }
    for name, case in cases.items():
        q, k, v, pull, documents = inputs_of(case, device.type)
        mask, group = seen(case, documents, device.type), case.heads // case.kv_heads

        def plain(q: Tensor, k: Tensor, v: Tensor, mask: Any = mask, group: int = group) -> Tensor:
            return written_out(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask)

        def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Any = mask, group: int = group) -> Tensor:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)

        for kernel, ours in (
            ("attention by tiles", FlashAttention),
            ("Triton attention", TritonFlashAttention),
        ):

            def attend(
                *inputs: Tensor, ours: Any = ours, case: Case = case, documents: Any = documents
            ) -> Tensor:
                return ours.apply(*inputs, case.is_causal, documents)

            yield compared(kernel, name, attend, sdpa, plain, (q, k, v), pull, ("O", "dQ", "dK", "dV"))


def _rms_norm_rows(device: torch.device, num_rows: int) -> Iterator[Row]:
    from a2_systems.kernels.rms_norm_triton import TritonRMSNorm

    for dtype, width in ((torch.float32, 40), (torch.float32, 128), (torch.bfloat16, 40)):
        generator = torch.Generator().manual_seed(0)
        x, pull = (torch.randn(num_rows, width, generator=generator).to(device, dtype) for _ in range(2))
        gain = torch.rand(width, generator=generator).to(device)

        def kernel(x: Tensor, gain: Tensor) -> Tensor:
            return TritonRMSNorm.apply(x, gain, 1e-5)  # type: ignore[no-any-return]

        def plain(x: Tensor, gain: Tensor) -> Tensor:
            return plain_rms_norm(x, gain, 1e-5)

        case = f"{width} wide, {_name(dtype)}"
        yield compared("Triton RMSNorm", case, kernel, plain, plain, (x, gain), pull, ("y", "dx", "dgain"))


def _loss_rows(device: torch.device, num_rows: int) -> Iterator[Row]:
    for dtype in (torch.float32, torch.bfloat16):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(num_rows, 32, generator=generator).to(device, dtype)
        weight = (torch.randn(301, 32, generator=generator) / 4).to(device, dtype)
        targets = torch.randint(301, (num_rows,), generator=generator).to(device)

        def chunked(features: Tensor, weight: Tensor, targets: Tensor = targets) -> Tensor:
            return linear_cross_entropy(features, weight, targets, chunk_rows=7)

        def plain(features: Tensor, weight: Tensor, targets: Tensor = targets) -> Tensor:
            return plain_linear_cross_entropy(features, weight, targets)

        pull, outputs = torch.ones((), device=device), ("loss", "dfeatures", "dweight")
        inputs = (features, weight)
        yield compared(
            "last layer and loss",
            f"7 rows at a time, {_name(dtype)}",
            chunked,
            plain,
            plain,
            inputs,
            pull,
            outputs,
        )


def compared(
    kernel: str,
    case: str,
    ours: Function,
    plain: Function,
    exact: Function,
    inputs: Sequence[Tensor],
    pull: Tensor,
    outputs: Sequence[str],
) -> Row:
    """The row of one kernel on one set of inputs; `plain` is the measure, `exact` is called in float64."""
    truth = _with_gradients(exact, [each.double() for each in inputs], pull.double())
    theirs = _with_gradients(plain, inputs, pull)
    first, second = (_with_gradients(ours, inputs, pull) for _ in range(2))
    errors, bounds = [], []
    for true, mine, other in zip(truth, first, theirs, strict=True):
        unavoidable = ROUNDINGS * torch.finfo(mine.dtype).eps * _root_mean_square(true)
        errors.append(_distance(mine, true))
        bounds.append(max(ERROR_OF_PLAIN * _distance(other, true), unavoidable))
    repeats = all(map(torch.equal, first, second))
    # `<=`, not `not >`: an error that is no number must not pass
    is_right = repeats and all(error <= bound for error, bound in zip(errors, bounds, strict=True))
    row: Row = {"run": f"{kernel}: {case}", "kernel": kernel, "case": case, "repeats": repeats}
    row["outcome"] = "right" if is_right else "wrong"
    return row | {"outputs": list(outputs), "errors": errors, "bounds": bounds}


def _with_gradients(function: Function, inputs: Sequence[Tensor], pull: Tensor) -> list[Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = function(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, pull.to(output.dtype))]


def _distance(found: Tensor, true: Tensor) -> float:
    return _root_mean_square(found.double() - true)


def _root_mean_square(numbers: Tensor) -> float:
    return numbers.square().mean().sqrt().item()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
