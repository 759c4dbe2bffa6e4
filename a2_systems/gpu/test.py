"""Are the GPU kernels right? Every case against float64 and SDPA's own error; a table, and JSON in a file.

`python -m a2_systems.gpu.test` (`make gpu-test`). Needs torch, triton, numpy, einops and jaxtyping, nothing else.
Without a GPU it says `not checked` and exits with 0: nothing failed, and nothing passed.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "LM_TRITON_AUTOTUNE", "0"
)  # every tile size has a case of its own: nothing to search for

import torch
import triton

from a2_systems.gpu.cases import OUTPUTS, errors_of, gpu_cases
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import plain_rms_norm
from a2_systems.kernels.rms_norm_triton import TritonRMSNorm

NO_DEVICE = "not checked: no CUDA device"


def rms_norm_rows() -> list[dict[str, Any]]:
    """RMSNorm and its gradients against float64; the plain version's error is the measure."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for width in (40, 768, 2_560, 8_192):
            torch.manual_seed(0)
            x, pull = (torch.randn(3, 301, width, device="cuda").to(dtype) for _ in range(2))
            w = torch.rand(width, device="cuda")

            def outputs(
                function: Any, kind: Any, x: Any = x, w: Any = w, pull: Any = pull
            ) -> list[torch.Tensor]:
                leaves = [tensor.to(kind or tensor.dtype).requires_grad_() for tensor in (x, w)]
                y = function(*leaves, 1e-5)
                return [y.detach(), *torch.autograd.grad(y, leaves, pull.to(y.dtype))]

            exact = outputs(plain_rms_norm, torch.float64)
            ours, again = outputs(TritonRMSNorm.apply, None), outputs(TritonRMSNorm.apply, None)
            rows.append(
                compared(f"RMSNorm {width} {dtype}", ours, again, outputs(plain_rms_norm, None), exact)
            )
    return rows


def loss_rows() -> list[dict[str, Any]]:
    """The chunked last layer against float64; the plain version's error is the measure."""
    rows = []
    sizes = [(1_000, 5_003, 256, dtype, 96) for dtype in (torch.float32, torch.bfloat16, torch.float16)]
    sizes.append((40_000, 8, 64, torch.float16, None))  # sums over the rows are beyond float16
    for num_rows, vocab, width, dtype, chunk_rows in sizes:
        torch.manual_seed(0)
        features = (torch.randn(num_rows, width, device="cuda") + (vocab == 8) * 4).to(dtype)
        weight = (torch.randn(vocab, width, device="cuda") / 16).to(dtype)
        targets = torch.randint(vocab, (num_rows,), device="cuda") * (vocab != 8)

        def outputs(function: Any, kind: Any, given: Any = (features, weight, targets)) -> list[torch.Tensor]:
            leaves = [tensor.to(kind or tensor.dtype).requires_grad_() for tensor in given[:2]]
            loss = function(*leaves, given[2])
            return [loss.detach(), *torch.autograd.grad(loss, leaves)]

        def chunked(*arguments: Any, chunk_rows: int | None = chunk_rows) -> torch.Tensor:
            return linear_cross_entropy(*arguments, chunk_rows=chunk_rows)

        exact = outputs(plain_linear_cross_entropy, torch.float64)
        ours, again = outputs(chunked, None), outputs(chunked, None)
        theirs = outputs(plain_linear_cross_entropy, None)
        rows.append(
            compared(f"linear cross-entropy {num_rows} x {vocab} {dtype}", ours, again, theirs, exact)
        )
    return rows


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
    for case in gpu_cases():
        try:
            row = errors_of(case, "cuda")
        except Exception as error:  # a kernel that does not compile fails its case, not the others
            row = {"case": case.name, "ok": False, "failure": f"{type(error).__name__}: {error}"[:300]}
        print(line(row), flush=True)
        rows.append(row)
    for row in [*rms_norm_rows(), *loss_rows()]:
        print(line(row), flush=True)
        rows.append(row)
    failed = sum(not row["ok"] for row in rows)
    device = torch.cuda.get_device_name()
    print(f"{len(rows) - failed} of {len(rows)} cases right on {device}, torch {torch.__version__}, ", end="")
    print(f"triton {triton.__version__}")
    write(out, {"outcome": "failed" if failed else "passed", "device": device, "torch": torch.__version__,
                "triton": triton.__version__, "rows": rows})  # fmt: skip
    return int(bool(failed))


def write(path: Path, content: dict[str, Any]) -> None:
    """Leave the JSON where the terminal says it lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
