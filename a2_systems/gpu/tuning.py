"""Which tiles are the fastest on this GPU? Times them all, on request alone, and prints the tables to paste.

While programs run, nothing is chosen by the clock: other tiles add in another order, so that a resumed run, or another
rank, would have other bits. Compiling takes some seconds for each row: a quarter of an hour for all.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch

from a2_systems.gpu.targets import interleaved
from a2_systems.kernels.flash_triton import flash_backward, flash_forward
from a2_systems.kernels.flash_triton_tiles import Tiles, candidates

LENGTH, TOKENS, WIDTH = 4_096, 16_384, 2_048
SHOWN = 4  # of a list; behind them come those that fit a smaller card


def tried() -> list[Tiles]:
    """The tile sizes worth compiling."""
    sizes = ((128, 128), (128, 64), (128, 32), (64, 64), (64, 32))
    return [
        Tiles(rows, columns, warps, stages)
        for (rows, columns), warps, stages in product(sizes, (4, 8), (1, 2, 3))
    ]


def tuned_tables(
    rounds: int, milliseconds_of: Callable[[Callable[[], object]], float], device: str = "cuda"
) -> dict[str, dict[int, list[str]]]:
    """For each kernel and head size, in bfloat16 and causal, the fastest tiles first."""
    tables: dict[str, dict[int, list[str]]] = {"forward": {}, "backward": {}}
    for head_dim in (64, 128, 256):
        size = (TOKENS // LENGTH, WIDTH // head_dim, LENGTH, head_dim)
        q, k, v, pull = (torch.randn(size, device=device, dtype=torch.bfloat16) for _ in range(4))
        out, sums = flash_forward(q, k, v, True)
        for kernel in tables:
            smallest = candidates(kernel, head_dim, 2)[-1]
            calls: dict[str, Callable[[], object]] = {}
            for tile in dict.fromkeys([*tried(), smallest]):
                if kernel == "forward":
                    calls[repr(tile)] = partial(flash_forward, q, k, v, True, tiles=(tile,))
                else:
                    calls[repr(tile)] = partial(flash_backward, q, k, v, out, pull, sums, True, tiles=(tile,))
            found = interleaved(calls, rounds, milliseconds_of)
            times = {
                name: sorted(spent)[len(spent) // 2]
                for name, spent in found.items()
                if not isinstance(spent, str)
            }
            best = sorted(times, key=times.__getitem__)[:SHOWN]
            tables[kernel][head_dim] = list(dict.fromkeys([*best, repr(smallest)]))
            print(
                f"{kernel}, {head_dim} wide:",
                *(f"{name} {times[name]:.3f} ms" for name in best),
                sep="\n    ",
                flush=True,
            )
    return tables
