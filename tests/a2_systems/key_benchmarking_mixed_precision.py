"""Keys of benchmarking_mixed_precision: on a CPU autocast itself is asked; its rules on a GPU are a matter of record.

Source: torch's documentation of autocast: on CUDA, linear layers run in the lower precision, layer_norm and losses in
float32.
"""

import torch

from tests.harness.keys import Check, Given

ON_GPU = {
    "parameters": ("float32", "autocast casts what operations take; parameters stay as they are"),
    "fc1": ("float16", "matrix products are what autocast is for"),
    "norm": ("float32", "on a GPU LayerNorm is on autocast's list of what must not be in half precision"),
    "logits": ("float16", "matrix products are what autocast is for, whatever dtype comes in"),
    "loss": ("float32", "a loss sums exponentials: it is on the list for float32"),
    "gradients": ("float32", "a gradient has the dtype of its parameter"),
}


def of_norm_on_cpu() -> str:
    """What a CPU's autocast makes of LayerNorm after a linear layer."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = torch.nn.Linear(4, 4)(torch.ones(2, 4))
        return named(torch.nn.LayerNorm(4)(hidden).dtype)


def named(dtype: torch.dtype | str) -> str:
    """A dtype by its last name."""
    return str(dtype).rpartition(".")[2].strip().lower()


def dtype_of(question: str) -> Check:
    """A check of one row of the table."""

    def check(answer: object, given: Given) -> str:
        wanted, why = (
            ON_GPU[question] if question in ON_GPU else (of_norm_on_cpu(), "the lists of CPU and GPU differ")
        )
        if not hasattr(torch, named(str(answer))):
            return 'no dtype of torch: write it as "float32"'
        return "" if named(str(answer)) == wanted else why

    return check


CHECKS: dict[str, Check] = {question: dtype_of(question) for question in (*ON_GPU, "cpu_norm")}
