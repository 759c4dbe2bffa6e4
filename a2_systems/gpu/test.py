"""Are the GPU kernels right? Every case against float64 and SDPA's own error; a table, and JSON in a file.

`python -m a2_systems.gpu.test` (`make gpu-test`). Needs torch, triton, numpy, einops and jaxtyping, nothing else.
Without a GPU it says `not checked` and exits with 0: nothing failed, and nothing passed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import triton

from a2_systems.gpu.cases import OUTPUTS, errors_of, gpu_cases
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import plain_rms_norm
from a2_systems.kernels.rms_norm_triton import TritonRMSNorm

NO_DEVICE = "not checked: no CUDA device"


Check = tuple[str, Callable[[], dict[str, Any]]]  # its name, and what makes its row


def checks() -> list[Check]:
    """Everything that is looked at, each by itself: what breaks in one of them leaves the others."""
    found: list[Check] = [(case.name, partial(errors_of, case, "cuda")) for case in gpu_cases()]
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    for dtype, width in product(dtypes, (40, 768, 2_560, 8_192)):
        name = f"RMSNorm {width} {dtype}"
        found.append((name, partial(rms_norm_row, name, width, dtype)))
    sizes: list[tuple[int, int, int, torch.dtype, int | None]] = [
        (1_000, 5_003, 256, dtype, 96) for dtype in dtypes
    ]
    sizes.append((40_000, 8, 64, torch.float16, None))  # sums over the rows are beyond float16
    for size in sizes:
        name = f"linear cross-entropy {size[0]} x {size[1]} {size[3]}"
        found.append((name, partial(loss_row, name, *size)))
    return found


def rms_norm_row(name: str, width: int, dtype: torch.dtype) -> dict[str, Any]:
    """RMSNorm and its gradients against float64; the plain version's error is the measure."""
    torch.manual_seed(0)
    x, pull = (torch.randn(3, 301, width, device="cuda").to(dtype) for _ in range(2))
    w = torch.rand(width, device="cuda")

    def outputs(function: Any, kind: Any) -> list[torch.Tensor]:
        leaves = [tensor.to(kind or tensor.dtype).requires_grad_() for tensor in (x, w)]
        y = function(*leaves, 1e-5)
        return [y.detach(), *torch.autograd.grad(y, leaves, pull.to(y.dtype))]

    exact = outputs(plain_rms_norm, torch.float64)
    ours, again = outputs(TritonRMSNorm.apply, None), outputs(TritonRMSNorm.apply, None)
    return compared(name, ours, again, outputs(plain_rms_norm, None), exact)


def loss_row(
    name: str, num_rows: int, vocab: int, width: int, dtype: torch.dtype, chunk_rows: int | None
) -> dict[str, Any]:
    """The chunked last layer against float64; the plain version's error is the measure."""
    torch.manual_seed(0)
    is_one_sided = vocab < 10  # then the gradients of all rows point the same way
    features = (torch.randn(num_rows, width, device="cuda") + 4 * is_one_sided).to(dtype)
    weight = (torch.randn(vocab, width, device="cuda") / 16).to(dtype)
    targets = torch.randint(1 if is_one_sided else vocab, (num_rows,), device="cuda")

    def outputs(function: Any, kind: Any) -> list[torch.Tensor]:
        leaves = [tensor.to(kind or tensor.dtype).requires_grad_() for tensor in (features, weight)]
        loss = function(*leaves, targets)
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    chunked = partial(linear_cross_entropy, chunk_rows=chunk_rows)
    exact = outputs(plain_linear_cross_entropy, torch.float64)
    ours, again = outputs(chunked, None), outputs(chunked, None)
    return compared(name, ours, again, outputs(plain_linear_cross_entropy, None), exact)


def compared(
    name: str,
    ours: list[torch.Tensor],
    again: list[torch.Tensor],
    theirs: list[torch.Tensor],
    exact: list[torch.Tensor],
) -> dict[str, Any]:
    """A row: largest errors of all outputs together, each over its output's largest value."""

    def error(found: list[torch.Tensor]) -> float:
        return max(
            ((one.double() - true).abs().max() / true.abs().max()).item()
            for one, true in zip(found, exact, strict=True)
        )

    repeats = all(map(torch.equal, ours, again))
    limit = max(2 * error(theirs), 2 * max(torch.finfo(one.dtype).eps for one in ours))
    return {
        "case": name,
        "ok": repeats and error(ours) <= limit,
        "repeats": repeats,
        "error": error(ours),
        "plain": error(theirs),
    }


def line(row: dict[str, Any]) -> str:
    """One row of the table: each error, and the same of SDPA in brackets."""
    if "O" in row:
        errors = "  ".join(f"{name} {row[name]:.1e} ({row[f'{name} of SDPA']:.1e})" for name in OUTPUTS)
    elif "error" in row:
        errors = f"relative error {row['error']:.1e} ({row['plain']:.1e})"
    else:
        errors = row["failure"]
    bits = "" if row.get("repeats", True) else "  other bits the second time"
    return f"{'ok' if row['ok'] else 'FAILED':<6}  {row['case']:<72}  {errors}{bits}"


def main(arguments: list[str] | None = None) -> int:
    """0 when all is well or nothing could be checked, 1 when something failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/gpu_test.json"), help="where the JSON goes")
    out = parser.parse_args(arguments).out
    if not torch.cuda.is_available():
        print(NO_DEVICE)
        write(out, {"outcome": NO_DEVICE, "rows": []})
        return 0
    rows: list[dict[str, Any]] = []
    device = torch.cuda.get_device_name()
    content = {
        "outcome": "stopped halfway",
        "device": device,
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    for name, make_row in checks():
        try:
            row = make_row()
        except Exception as error:  # a kernel that does not compile fails its case, not the others
            row = {"case": name, "ok": False, "failure": f"{type(error).__name__}: {error}"[:300]}
        print(line(row), flush=True)
        rows.append(row)
        write(out, {**content, "rows": rows}, is_said=False)  # what comes next may end the program
    failed = sum(not row["ok"] for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} cases right on {device}, torch {torch.__version__}, ", end="")
    print(f"triton {triton.__version__}")
    write(out, {**content, "outcome": "failed" if failed else "passed", "rows": rows})
    return int(bool(failed))


def write(path: Path, content: dict[str, Any], *, is_said: bool = True) -> None:
    """Leave the JSON where the terminal says it lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if is_said:
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
