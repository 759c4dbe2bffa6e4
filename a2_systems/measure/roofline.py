"""The roofline: how fast an operation could be here, from its FLOPs, its bytes and what this machine was seen to reach.

An operation that computes little for each byte it moves waits for memory, however fast the arithmetic is. The peaks are
measured, by a matrix product and by a copy, not taken from a data sheet: the fraction is then of what can be had.

Source: [roofline-2009] section 3.
"""

from dataclasses import dataclass

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
    device: torch.device, dtype: torch.dtype, *, size: int = 1024, copy_bytes: int = 2**27
) -> Peaks:
    """The best of some matrix products and copies; the copy is larger than any cache, and reads and writes."""
    left = torch.randn(size, size, device=device).to(dtype)
    source = torch.empty(copy_bytes, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    product = time_calls(lambda: left @ left, device=device, warmups=2, repeats=5)
    copy = time_calls(lambda: target.copy_(source), device=device, warmups=1, repeats=5)
    return Peaks(2 * size**3 / min(product.seconds), 2 * copy_bytes / min(copy.seconds))


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
