"""The roofline: how fast an operation could be here, from its FLOPs, its bytes and what this machine was seen to reach.

An operation that computes little for each byte it moves waits for memory, however fast the arithmetic is. The peaks are
measured, by a matrix product and by a copy, not taken from a data sheet: the fraction is then of what can be had.

Source: [roofline-2009] section 3.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from a2_systems.measure.timer import time_calls


@dataclass(frozen=True)
class Peaks:
    """What this machine reaches."""

    flops_per_second: float
    bytes_per_second: float

    @property
    def ridge(self) -> float:
        """FLOPs for each byte from which on arithmetic is the limit."""
        return self.flops_per_second / self.bytes_per_second


@dataclass(frozen=True)
class Operation:
    """What was run: its FLOPs, the bytes it has to read and write once, and how long it took."""

    name: str
    flops: float
    num_bytes: float
    seconds: float

    @property
    def intensity(self) -> float:
        """FLOPs for each byte."""
        return self.flops / self.num_bytes

    def bound(self, peaks: Peaks) -> str:
        """What it waits for."""
        return "arithmetic" if self.intensity >= peaks.ridge else "memory"

    def least_seconds(self, peaks: Peaks) -> float:
        """The time below which it cannot come here."""
        return max(self.flops / peaks.flops_per_second, self.num_bytes / peaks.bytes_per_second)

    def fraction(self, peaks: Peaks) -> float:
        """How much of what is possible here it reached."""
        return self.least_seconds(peaks) / self.seconds


def measured_peaks(
    device: torch.device, dtype: torch.dtype, *, size: int | None = None, copy_bytes: int | None = None
) -> Peaks:
    """The best of some matrix products and copies; the copy reads and writes, and is larger than the last cache.

    On a GPU a small product is over before the next is launched, and waiting for one call costs as much again: products
    are large there, and many calls go out between two looks at the clock.
    """
    size = size or (8192 if device.type == "cuda" else 1024)
    copy_bytes = copy_bytes or max(2**27, 4 * last_cache_bytes(device))
    calls = 20 if device.type == "cuda" else 1
    left = torch.randn(size, size, device=device).to(dtype)
    source = torch.empty(copy_bytes, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    products = time_calls(lambda: [left @ left for _ in range(calls)], device=device, warmups=2, repeats=5)
    copies = time_calls(
        lambda: [target.copy_(source) for _ in range(calls)], device=device, warmups=1, repeats=5
    )
    return Peaks(calls * 2 * size**3 / min(products.seconds), calls * 2 * copy_bytes / min(copies.seconds))


def last_cache_bytes(device: torch.device, system: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache that a core or the GPU has; 0 where the machine does not tell."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    told = [file.read_text().strip() for file in system.glob("index*/size")]
    return max((int(text[:-1]) * units[text[-1]] for text in told if text[-1:] in units), default=0)


def measured_operations(
    device: torch.device, dtype: torch.dtype, *, tokens: int = 1024, width: int = 512
) -> list[Operation]:
    """Operations of a transformer from one end of the scale to the other, each on features of one size."""
    size = torch.finfo(dtype).bits // 8
    features = torch.randn(tokens, width, device=device).to(dtype)
    weight = torch.randn(4 * width, width, device=device).to(dtype)
    row = features[:1]
    gain = torch.ones(width, device=device, dtype=dtype)
    numbers = tokens * width
    shapes = {
        "residual sum": (lambda: features + features, numbers, 3 * numbers),
        "RMSNorm": (
            lambda: torch.nn.functional.rms_norm(features, (width,), gain),
            4 * numbers,
            2 * numbers + width,
        ),
        "softmax": (lambda: features.softmax(dim=-1), 5 * numbers, 2 * numbers),
        "one token's product": (lambda: row @ weight.T, 8 * width * width, 4 * width * width + 5 * width),
        "feed-forward product": (
            lambda: features @ weight.T,
            8 * numbers * width,
            5 * numbers + 4 * width * width,
        ),
    }
    return [
        Operation(
            name,
            float(flops),
            float(count * size),
            time_calls(function, device=device, warmups=3, repeats=10).spread.median,
        )
        for name, (function, flops, count) in shapes.items()
    ]
