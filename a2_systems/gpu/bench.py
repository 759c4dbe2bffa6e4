"""How fast are the GPU kernels? TFLOP/s of ours, of SDPA by backend, of compiled flex_attention and of eager torch;
then a training step of a language model, and how much of the GPU it uses.

`python -m a2_systems.gpu.bench` (`make gpu-bench`). Needs torch, triton, numpy, einops and jaxtyping, nothing else.
Contestants take turns; times are CUDA events, medians and quartiles. Without a GPU it says `not checked`.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from a2_systems.gpu.targets import OURS, Shape, Timing, bench_shapes, interleaved, table, verdicts
from a2_systems.gpu.test import NO_DEVICE, write
from a2_systems.gpu.training import Step, training_line, training_rows, training_verdict
from a2_systems.gpu.tuning import tuned_tables
from a2_systems.kernels.flash_triton import TritonFlashAttention
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import plain_rms_norm
from a2_systems.kernels.rms_norm_triton import TritonRMSNorm
from a2_systems.kernels.written_out import written_out

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
EAGER_SCORE_BYTES = 8 * 2**30  # a score matrix beyond this is not tried: eager keeps several


def sdpa(backend: SDPBackend) -> Attention:
    """SDPA by this backend and no other; it raises where the backend cannot serve the inputs."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(
                q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
            )

    return attend


def eager(length: int) -> Attention:
    """Causal attention written out; the whole score matrix lies in memory."""
    mask = torch.ones(length, length, dtype=torch.bool, device="cuda").tril()

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if q.shape[0] * q.shape[1] * length**2 * q.element_size() > EAGER_SCORE_BYTES:
            raise NotImplementedError(f"scores of more than {EAGER_SCORE_BYTES >> 30} GiB")
        group = q.shape[1] // k.shape[1]
        return written_out(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask)

    return attend


def flex(length: int) -> Attention:
    """flex_attention, compiled anew for this length, with a causal block mask.

    The compiler is made to forget first: after some shapes it would stop compiling and run the function eagerly.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    torch._dynamo.reset()
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, length, length, device="cuda")
    compiled: Any = torch.compile(flex_attention, dynamic=False)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def attentions(length: int) -> dict[str, Attention]:
    """Everybody who takes part."""
    return {
        OURS: lambda q, k, v: TritonFlashAttention.apply(q, k, v, True),
        "SDPA FLASH": sdpa(SDPBackend.FLASH_ATTENTION),
        "SDPA CUDNN": sdpa(SDPBackend.CUDNN_ATTENTION),
        "SDPA EFFICIENT": sdpa(SDPBackend.EFFICIENT_ATTENTION),
        "flex_attention compiled": flex(length),
        "eager": eager(length),
    }


def milliseconds_of(call: Callable[[], object]) -> float:
    """The GPU's own time of one call: it first waits for a millisecond or so, in which the launches queue up.

    Nothing empties the second-level cache in between. Contestants take turns, each in memory of its own, and what one
    of them reads and writes (128 MiB and more in every shape) is more than the 50 MiB of an H100's cache.
    """
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(2_000_000)  # clock cycles
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def attention_timings(shape: Shape, rounds: int) -> list[Timing]:
    """Forward alone and both passes, everybody in turn."""
    torch.manual_seed(0)
    heads = (shape.heads, shape.heads // shape.group, shape.heads // shape.group)
    q, k, v = (
        torch.randn(
            shape.batch,
            number,
            shape.length,
            shape.head_dim,
            device="cuda",
            dtype=torch.bfloat16,
            requires_grad=True,
        )
        for number in heads
    )
    pull = torch.randn_like(q)

    def forward(attend: Attention) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                attend(q, k, v)

        return call

    def both(attend: Attention) -> Callable[[], object]:
        return lambda: torch.autograd.grad(attend(q, k, v), (q, k, v), pull)

    timings = []
    runners = attentions(shape.length)
    for with_backward, kind in ((False, forward), (True, both)):
        results = interleaved(
            {name: kind(attend) for name, attend in runners.items()}, rounds, milliseconds_of
        )
        for name, times in results.items():
            timings.append(
                Timing(shape, with_backward, name, (), times)
                if isinstance(times, str)
                else Timing(shape, with_backward, name, times)
            )
    return timings


def other_rows(rounds: int) -> list[dict[str, Any]]:
    """RMSNorm and the chunked last layer against their plain versions: median time and peak memory, both passes."""
    x = torch.randn(16_384, 2_048, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    gain = torch.rand(2_048, device="cuda", requires_grad=True)
    features = torch.randn(16_384, 1_024, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(50_257, 1_024, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(50_257, (16_384,), device="cuda")
    compiled: Any = torch.compile(plain_rms_norm)
    pull = torch.randn_like(x)  # a sum's gradient would be one number, expanded: no bytes to read

    def norm(function: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(x, gain, 1e-5), (x, gain), pull)

    def loss(function: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(features, weight, targets), (features, weight))

    groups: dict[str, dict[str, Callable[[], object]]] = {
        "RMSNorm 16,384 x 2,048": {
            "plain": norm(plain_rms_norm),
            "plain compiled": norm(compiled),
            OURS: norm(TritonRMSNorm.apply),
        },
        "linear cross-entropy 16,384 x 50,257": {
            "plain": loss(plain_linear_cross_entropy),
            OURS: loss(linear_cross_entropy),
        },
    }
    rows = []
    for work, contestants in groups.items():
        results = interleaved(contestants, rounds, milliseconds_of)
        for name, times in results.items():
            if isinstance(times, str):
                rows.append({"work": work, "contestant": name, "reason": times})
                continue
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            contestants[name]()
            torch.cuda.synchronize()
            median = sorted(times)[len(times) // 2]
            peak = torch.cuda.max_memory_allocated() - before
            rows.append({"work": work, "contestant": name, "milliseconds": median, "peak_bytes": peak})
    return rows


def main(arguments: list[str] | None = None) -> int:
    """0 unless a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/gpu_bench.json"), help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=15, help="how often each contestant is timed")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="only time tile sizes, and print the lists for flash_triton_tiles.py",
    )
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(NO_DEVICE)
        write(options.out, {"outcome": NO_DEVICE, "timings": []})
        return 0
    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, triton {triton.__version__}; bfloat16, causal", flush=True)
    if options.tune:
        write(options.out, {"device": device, "tiles": tuned_tables(options.rounds, milliseconds_of)})
        return 0
    timings: list[Timing] = []
    content: dict[str, Any] = {
        "outcome": "stopped halfway",
        "device": device,
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    for shape in bench_shapes():
        now = attention_timings(shape, options.rounds)
        timings += now
        print(table(now), flush=True)
        content["timings"] = [asdict(timing) for timing in timings]
        write(options.out, content, is_said=False)  # what comes next may end the program
    content["others"] = other_rows(options.rounds)
    for row in content["others"]:
        said = (
            row.get("reason")
            or f"{row['milliseconds']:.3f} ms, {row['peak_bytes'] / 2**20:,.0f} MiB at the peak"
        )
        print(f"{row['work']:<38}  {row['contestant']:<16}  {said}")
    write(options.out, content, is_said=False)
    torch._dynamo.reset()
    content["training"] = training_rows(Step(), torch.device("cuda"), options.rounds, milliseconds_of)
    print("\n".join(map(training_line, content["training"])))
    found = verdicts(timings, is_hopper=torch.cuda.get_device_capability() == (9, 0))
    found.append(training_verdict(content["training"]))
    print("\n".join(map(str, found)))
    missed = any(verdict.is_met is False for verdict in found)
    is_whole = all(verdict.is_met is not None for verdict in found)
    content["outcome"] = (
        "targets missed" if missed else "targets met" if is_whole else "not all targets checked"
    )
    write(options.out, {**content, "verdicts": [asdict(verdict) for verdict in found]})
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
