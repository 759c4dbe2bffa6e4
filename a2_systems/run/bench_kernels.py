"""The kernels against the plain versions: time and peak memory.

Attention by tiles against attention written out and against torch's own; the last layer with its loss, chunk by chunk
against all logits at once. Where there is a GPU the Triton kernels run, RMSNorm too, and `make gpu-bench` says more.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from a2_systems.kernels.flash_tiled import FlashAttention
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import plain_rms_norm, rms_norm
from a2_systems.kernels.written_out import written_out
from a2_systems.measure.memory import LiveMemory
from shared.device import pick_device, synchronize
from shared.runs.bench import Bench, heading, run_benches, write_table
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # tables in docs/benchmarks.md, no artifact

Outputs = list[Tensor]


@dataclass(frozen=True)
class BenchKernels:
    """The sizes and how long to measure."""

    rounds: int = 7  # interleaved rounds of baseline, candidate and control
    length: int = 2_048  # positions of the attention
    num_tokens: int = 4_096  # rows of the norm and of the last layer
    vocab_size: int = 16_384  # columns of the last layer
    d_model: int = 256  # width of the norm and of the last layer


PRESETS = {
    "default": BenchKernels(),
    "quick": BenchKernels(rounds=3, length=512, num_tokens=1_024, vocab_size=32_768),
}


def both_ways(function: Callable[..., Tensor], *inputs: Any) -> Callable[[], Outputs]:
    """A call that gives the output and the gradient of every float input, each output pulling by its own value."""
    leaves = [tensor for tensor in inputs if isinstance(tensor, Tensor) and tensor.is_floating_point()]
    for leaf in leaves:
        leaf.requires_grad_()

    def call() -> Outputs:
        output = function(*inputs)
        return [output.detach(), *torch.autograd.grad(output, leaves, output.detach())]

    return call


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """torch's own attention."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention by tiles, as the kernel of this device."""
    if not q.is_cuda:
        return FlashAttention.apply(q, k, v, True)  # pyright: ignore[reportReturnType]
    from a2_systems.kernels.flash_triton import TritonFlashAttention

    return TritonFlashAttention.apply(q, k, v, True)  # pyright: ignore[reportReturnType]


def close(plain: Outputs, ours: Outputs) -> None:
    """Float32 sums of a few thousand terms in another order; a GPU's plain version may multiply in tf32."""
    for one, other in zip(plain, ours, strict=True):
        loose = 1e-2 if one.is_cuda else 1e-4
        torch.testing.assert_close(one, other, rtol=loose, atol=loose * one.abs().max().item())


def benches(config: BenchKernels) -> list[Bench]:
    """Every kernel beside its plain version, forward and backward."""
    device = pick_device()
    generator = torch.Generator().manual_seed(0)

    def randn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device)

    def wait() -> None:
        synchronize(device)

    attention = [randn(1, 4, config.length, 64) for _ in range(3)]
    seen = torch.ones(config.length, config.length, dtype=torch.bool, device=device).tril()
    rows, gain = randn(config.num_tokens, config.d_model), randn(config.d_model)
    weight = randn(config.vocab_size, config.d_model) / config.d_model**0.5
    targets = torch.randint(config.vocab_size, (config.num_tokens,), generator=generator).to(device)
    tokens = config.num_tokens
    our_tiles, loss = both_ways(tiled, *attention), both_ways(linear_cross_entropy, rows, weight, targets)
    whole_loss = both_ways(plain_linear_cross_entropy, rows, weight, targets)
    written = both_ways(partial(written_out, mask=seen), *attention)
    found = [
        Bench("attention", written, our_tiles, close, "written out", "tiles", wait,
              config.length, "positions"),
        Bench("attention, against SDPA", both_ways(fused, *attention), our_tiles, close, "SDPA", "tiles", wait,
              config.length, "positions"),
        Bench("last layer and loss", whole_loss, loss, close, "all logits", "chunks", wait, tokens, "tokens"),
    ]  # fmt: skip
    if device.type == "cuda":  # elsewhere `rms_norm` is the plain version
        plain, kernel = (both_ways(norm, rows, gain, 1e-5) for norm in (plain_rms_norm, rms_norm))
        found.append(Bench("RMSNorm", plain, kernel, close, "plain", "kernel", wait, tokens, "tokens"))
    return found


def peak_bytes(call: Callable[[], object]) -> int:
    """The most bytes of tensors, over those that were there before, at any moment of a call; its results included."""
    with LiveMemory() as counted:
        call()
    return counted.peak_bytes


def memory_table(found: list[Bench]) -> str:
    """Peak memory of both sides of every bench, as Markdown."""
    lines = heading("kernels, peak memory")
    lines += ["| work | candidate | baseline | candidate MiB | baseline MiB |", "|---|---|---|---|---|"]
    for bench in found:
        ours, theirs = (peak_bytes(call) / 2**20 for call in (bench.candidate, bench.baseline))
        names = f"| {bench.name} | {bench.candidate_name} | {bench.baseline_name}"
        lines.append(f"{names} | {ours:,.1f} | {theirs:,.1f} |")
    return "\n".join(lines)


def main(config: BenchKernels) -> int:
    """Measure time, then memory; 1 when outputs differed somewhere."""
    found = benches(config)
    failed = run_benches("kernels", found, rounds=config.rounds)
    text = memory_table(found)
    print(f"\n{text}")
    write_table("kernels, peak memory", text)
    return failed


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
