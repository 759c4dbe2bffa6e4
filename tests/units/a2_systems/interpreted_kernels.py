"""Runs the Triton kernels on the CPU in Triton's interpreter and prints what came of each check, as JSON.

A program of its own: the interpreter is chosen when triton is imported, for the whole process.
"""

import json
import os
import sys
from dataclasses import replace

os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton.language as tl

from a2_systems.gpu.cases import Case, errors_of
from a2_systems.kernels import flash_triton, linear_cross_entropy
from a2_systems.kernels import flash_triton_tiles as tiles
from a2_systems.kernels.flash_triton import TritonFlashAttention
from a2_systems.kernels.linear_cross_entropy_triton import losses_in_place
from a2_systems.kernels.rms_norm import plain_rms_norm
from a2_systems.kernels.rms_norm_triton import TritonRMSNorm

ONE = Case(16, 40, 40, "float32", batch=1, heads=1, kv_heads=1)
CASES = [
    replace(ONE, heads=2),
    replace(ONE, head_dim=24, q_len=17, k_len=17, is_causal=False, layout="expanded"),
    replace(ONE, q_len=19, k_len=37, layout="seq first", magnitude=30),
    replace(ONE, q_len=20, k_len=17, is_causal=False, layout="every other"),
    replace(ONE, has_documents=True, batch=2),
    replace(ONE, q_len=20, has_documents=True, is_causal=False),
    replace(ONE, q_len=1, k_len=17, dtype="bfloat16"),
    replace(ONE, q_len=33, k_len=33, dtype="float16"),
    replace(ONE, head_dim=256, q_len=16, k_len=16),
]


REPEATED = [CASES[0], CASES[4], CASES[7]]  # float32, documents, float16


def saved_shapes() -> list[list[int]]:
    """The shapes that forward keeps for backward."""
    q = torch.randn(2, 20, 16, requires_grad=True)
    output = TritonFlashAttention.apply(q, q, q, True)
    return [list(tensor.shape) for tensor in output.grad_fn.saved_tensors if tensor is not None]


def log_sum_exp_error() -> float:
    """Distance of the saved log-sum-exp from float64's."""
    q, k = torch.randn(2, 20, 16), torch.randn(2, 30, 16)
    _, sums = flash_triton.flash_forward(q, k, k)
    return (sums - torch.logsumexp(q.double() @ k.double().mT / 4, dim=-1)).abs().max().item()


def unread_tiles() -> dict[str, bool]:
    """Whether results stay numbers when what lies in tiles that nobody may see is none.

    A weight of zero does not hide it (0 times no number is none), so only tiles that are not loaded do no harm.
    Spoilt are the keys and values behind the first tile of queries, which the gradient of these queries must not read,
    and the queries before the last tile of keys, which the gradient of these keys must not.
    """
    documents = flash_triton.document_bounds(torch.arange(32)[None] // 16)
    results = {}
    for name, is_causal, bounds in (("causal", True, None), ("documents", False, documents)):
        q, k, v, pull = (torch.randn(1, 32, 16) for _ in range(4))
        out, sums = flash_triton.flash_forward(q, k, v, is_causal, bounds)
        whole = flash_triton.flash_backward(q, k, v, out, pull, sums, is_causal, bounds)
        late = [tensor.clone() for tensor in (k, v)]
        for tensor in late:
            tensor[:, 16:] = torch.nan
        out_late, _ = flash_triton.flash_forward(q, *late, is_causal, bounds)
        of_queries, _, _ = flash_triton.flash_backward(q, *late, out, pull, sums, is_causal, bounds)
        early = [tensor.clone() for tensor in (q, pull, sums)]
        for tensor in early:
            tensor[:, :16] = torch.nan
        _, *of_keys = flash_triton.flash_backward(early[0], k, v, out, early[1], early[2], is_causal, bounds)
        results[f"{name} forward"] = torch.equal(out_late[:, :16], out[:, :16])
        results[f"{name} dQ"] = torch.equal(of_queries[:, :16], whole[0][:, :16])
        for letter, spoilt, right in zip("KV", of_keys, whole[1:], strict=True):
            results[f"{name} d{letter}"] = torch.equal(spoilt[:, 16:], right[:, 16:])
    return results


def masked_tiles() -> dict[str, list[list[int]]]:
    """For three blocks of sixteen queries and of keys: the runs of tiles (start, whole, cut, stop) of each kernel.

    Between `whole` and `cut` no mask is computed: a causal model has masks on its diagonal alone.
    """
    found = {}
    for name in ("keys_of_queries", "queries_of_keys"):
        runs = torch.zeros(3, 4, dtype=torch.int32)
        _runs_kernel[(3,)](runs, 48, 48, OF_QUERIES=name == "keys_of_queries")
        found[name] = runs.tolist()
    return found


@tiles.jit
def _runs_kernel(runs, q_len, k_len, OF_QUERIES: tl.constexpr):
    first = tl.program_id(0) * 16
    batch = tl.program_id(0) * 0
    if OF_QUERIES:
        first_begin, first_end = tiles.keys_of_queries(runs, batch, 1, first, q_len, k_len, True, False)
        last_begin, last_end = tiles.keys_of_queries(runs, batch, 1, first + 15, q_len, k_len, True, False)
    else:
        first_begin, first_end = tiles.queries_of_keys(runs, batch, 1, first, q_len, k_len, True, False)
        last_begin, last_end = tiles.queries_of_keys(runs, batch, 1, first + 15, q_len, k_len, True, False)
    start, whole, cut, stop = tiles.runs_of_tiles(first_begin, last_begin, first_end, last_end, 16)
    place = runs + tl.program_id(0) * 4
    tl.store(place, start)
    tl.store(place + 1, whole)
    tl.store(place + 2, cut)
    tl.store(place + 3, stop)


def rms_norm_errors() -> dict[str, float]:
    """Largest distance from float64 of RMSNorm and its two gradients, for a width that fills no power of two."""
    errors = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, pull = torch.randn(2, 3, 40).to(dtype), torch.randn(2, 3, 40).to(dtype)
        w = torch.rand(40)
        results = []
        for function, kind in ((TritonRMSNorm.apply, None), (plain_rms_norm, torch.float64)):
            leaves = [tensor.to(kind or tensor.dtype).requires_grad_() for tensor in (x, w)]
            y = function(*leaves, 1e-5)
            results.append([y, *torch.autograd.grad(y, leaves, pull.to(y.dtype))])
        for name, ours, exact in zip(("y", "dx", "dw"), *results, strict=True):
            errors[f"{name} {dtype}"] = (ours.double() - exact).abs().max().item()
    return errors


def loss_errors() -> dict[str, float]:
    """Largest distance from float64 of the chunked loss by its kernel, and of both gradients, over their largest value.

    A vocabulary of one block and of several, of even and of odd size; chunks that do not divide the rows.
    """
    linear_cross_entropy._has_kernel = lambda *_: True  # the interpreter's, as on a GPU
    errors = {}
    sizes = [
        (150, torch.float32),
        (64, torch.float32),
        (5, torch.float32),
        (150, torch.bfloat16),
        (150, torch.float16),
    ]
    for vocab, dtype in sizes:
        features, weight = torch.randn(2, 5, 24).to(dtype), torch.randn(vocab, 24).to(dtype)
        targets = torch.randint(vocab, (2, 5))
        results = []
        for function, kind in (
            (lambda *given: linear_cross_entropy.linear_cross_entropy(*given, chunk_rows=4), dtype),
            (linear_cross_entropy.plain_linear_cross_entropy, torch.float64),
        ):
            leaves = [tensor.to(kind).requires_grad_() for tensor in (features, weight)]
            loss = function(*leaves, targets)
            results.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
        for name, ours, exact in zip(("loss", "of features", "of weight"), *results, strict=True):
            assert ours.dtype == (torch.float32 if name == "loss" else dtype)
            error = (ours.double() - exact).abs().max() / exact.abs().max()
            errors[f"{vocab} {dtype} {name}"] = error.item()
    return errors


def loss_alone() -> dict[str, bool]:
    """What one call of the loss kernel does to its logits, to the padding behind them and to odd values."""
    padded = torch.randn(3, 80) * 300  # exponentials of such logits overflow
    padded[1, 7] = -torch.inf
    before, logits, targets = padded.clone(), padded[:, :70], torch.tensor([0, 69, 3])
    exact = torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none")
    losses = losses_in_place(logits, targets, False)
    is_untouched = torch.equal(padded, before)
    again = losses_in_place(logits, targets, True)
    softmax = before[:, :70].double().softmax(1) - torch.nn.functional.one_hot(targets, 70)
    return {
        "right": torch.allclose(losses.double(), exact, rtol=1e-6),
        "the same with a gradient": torch.equal(losses, again),
        "untouched without": is_untouched,
        "gradient": torch.allclose(logits.double(), softmax, atol=1e-6),
        "padding kept": torch.equal(padded[:, 70:], before[:, 70:]),
        "unknown target is no number": bool(
            losses_in_place(logits, torch.tensor([0, 70, -1]), False)[1:].isnan().all()
        ),
    }


def refusals() -> dict[str, str]:
    """What is said about inputs that cannot be served."""
    q = torch.randn(1, 2, 4, 16)
    tries = {
        "long queries": (q, q[:, :, :3], q[:, :, :3], True),
        "odd group": (q.repeat(1, 2, 1, 1)[:, :3], q, q, False),
        "two dtypes": (q, q.half(), q, False),
        "wide head": (q.repeat(1, 1, 1, 17),) * 3 + (False,),
    }
    said = {}
    for name, arguments in tries.items():
        try:
            TritonFlashAttention.apply(*arguments)
            said[name] = ""
        except ValueError as error:
            said[name] = str(error)
    return said


if __name__ == "__main__":
    torch.manual_seed(0)
    json.dump(
        {
            "attention": [errors_of(case, "cpu", is_repeated=case in REPEATED) for case in CASES],
            "saved": saved_shapes(),
            "log_sum_exp_error": log_sum_exp_error(),
            "reads": unread_tiles(),
            "masks": masked_tiles(),
            "rms_norm": rms_norm_errors(),
            "losses": loss_errors(),
            "loss_alone": loss_alone(),
            "refusals": refusals(),
        },
        sys.stdout,
    )
