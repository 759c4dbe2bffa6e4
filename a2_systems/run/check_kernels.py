"""Every kernel against the oracle: its result and gradients beside float64, with the bound that each must keep.

Attention by tiles, in plain torch and as Triton kernels, RMSNorm, and the last layer with its loss. Without a GPU the
Triton kernels run in Triton's interpreter. `make gpu-test` checks many more cases, on a GPU.
"""

import sys
from collections.abc import Mapping
from typing import Any

from a2_systems.configs import CHECK_KERNELS, CheckKernels
from a2_systems.measure.oracle import choose_interpreter, rows_of_all
from a2_systems.measure.publish import publish_once
from shared.device import pick_device
from shared.errors import ContractError
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}


def main(config: CheckKernels) -> None:
    """Publish the Runs `config.name`, and print its table.

    Raises:
        ContractError: a kernel is further from the truth than it may be, or gave other bits the second time.
    """
    device = pick_device(config.device)
    choose_interpreter(device)
    publish_once("check_kernels", config, device, lambda: (checked_rows(config), {}))


def checked_rows(config: CheckKernels) -> list[dict[str, Any]]:
    """A row for each kernel and case, all of them right."""
    print(
        f"{'kernel: case':<54} {'':<8} {'error':>9} {'bound':>9}   the output that comes nearest to its bound"
    )
    rows = []
    for row in rows_of_all(pick_device(config.device), config.length, config.num_rows):
        rows.append(row)
        print(line(row), flush=True)
    wrong = [row["run"] for row in rows if row["outcome"] == "wrong"]
    if wrong:
        raise ContractError(f"{len(wrong)} of {len(rows)} cases are wrong: {'; '.join(wrong)}")
    return rows


def line(row: Mapping[str, Any]) -> str:
    """A row for people, with the output that comes nearest to its bound."""
    if "errors" not in row:
        return f"{row['run']:<54} {row['outcome']}"
    found = zip(row["outputs"], row["errors"], row["bounds"], strict=True)
    output, error, bound = max(found, key=lambda each: each[1] / each[2])
    again = "" if row["repeats"] else "  other bits the second time"
    return f"{row['run']:<54} {row['outcome']:<8} {error:>9.1e} {bound:>9.1e}   {output}{again}"


if __name__ == "__main__":
    sys.exit(run_program(main, CHECK_KERNELS, inputs=INPUTS, outputs=OUTPUTS))
