"""Which device and which precision to compute in, found by looking: what is measured would not stay the same."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shared.errors import ConfigError


def pick_device(wanted: str = "auto") -> torch.device:
    """The device named, or the best one present: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: the device named is not on this machine.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    try:
        device = torch.device(wanted)
    except RuntimeError:  # a word that torch knows nothing of
        device = None
    if device is None or not present.get(device.type, False):
        found = ", ".join(name for name, here in present.items() if here)
        raise ConfigError(f"device '{wanted}' is not on this machine (found: {found}); use --device auto")
    return device


def matmul_flops_per_second(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Measured rate of a square matrix product: the best of three, after a warm-up."""
    left = torch.randn(size, size, device=device).to(dtype)
    best_seconds = float("inf")
    for _ in range(4):
        synchronize(device)
        start = time.perf_counter()
        left @ left
        synchronize(device)
        best_seconds = min(best_seconds, time.perf_counter() - start)
    return 2 * size**3 / best_seconds


def bfloat16_is_fast(device_type: str) -> bool:
    """Whether bfloat16 matrix products beat float32 here, told by the instructions that there are.

    Not by a measurement: on a busy machine it may go the other way, and the same training would have other bits. Arm's
    instructions do not count, for whether torch uses them depends on how it was built; `make doctor` measures them.
    """
    if device_type == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return device_type == "cpu" and _has_any("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; one that does not emulates it, 100 times slower."""
    return bfloat16_is_fast("cpu") or _has_any("_is_arm_bf16_supported")


def _has_any(*checks: str) -> bool:
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def pick_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products: as named, or bfloat16 exactly where it is fast.

    Raises:
        ConfigError: a name that is no precision of ours.
    """
    if wanted == "auto":
        return torch.bfloat16 if bfloat16_is_fast(device.type) else torch.float32
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if wanted not in named:
        raise ConfigError(f"precision '{wanted}' is unknown; choose one of auto, {', '.join(named)}")
    return named[wanted]


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Matrix products in `dtype`, everything that sums over many numbers in float32; nothing to do for float32."""
    if dtype == torch.float32:
        yield
    else:
        with torch.autocast(device.type, dtype=dtype):
            yield


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read next tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """The rate against which utilisation is counted: the data sheet's for known GPUs, else a measured product's.

    Source: dense tensor-core rates of NVIDIA's data sheets (A100, H100, H200, B200, L4, RTX 4090).
    """
    if device.type == "cuda" and dtype == torch.bfloat16:
        sheet = {
            "H200": 989e12,
            "H100": 989e12,
            "B200": 2250e12,
            "A100": 312e12,
            "L4": 121e12,
            "4090": 165e12,
        }
        name = torch.cuda.get_device_name(device)
        for model, rate in sheet.items():
            if model in name:
                return rate
    return matmul_flops_per_second(device, dtype, size=4096 if device.type == "cuda" else 1024)
