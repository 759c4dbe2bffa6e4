"""Keys of alternate_ring_all_reduce: (N - 1) S / W, and 2 (N - 1) S / (N W)."""

from tests.harness.keys import Check, number

RANKS, SIZE_BYTES, BYTES_PER_SECOND = 8, 1e9, 50e9
ONCE_MILLISECONDS = 1e3 * SIZE_BYTES / BYTES_PER_SECOND
WHOLE, CHUNKED = (RANKS - 1) * ONCE_MILLISECONDS, 2 * (RANKS - 1) / RANKS * ONCE_MILLISECONDS

CHECKS: dict[str, Check] = {
    "whole_ring_milliseconds": number(
        lambda _: WHOLE,
        {
            "a device's own tensor needs no round": lambda _: RANKS * ONCE_MILLISECONDS,
            "these messages are whole tensors, not chunks": lambda _: CHUNKED,
            "what is passed on is what each device started with: nothing has to be gathered afterwards": lambda _: (
                2 * WHOLE
            ),
            "these are seconds": lambda _: WHOLE / 1e3,
        },
    ),
    "chunked_ring_milliseconds": number(
        lambda _: CHUNKED,
        {
            "this is the reduce-scatter or the all-gather alone": lambda _: CHUNKED / 2,
            "a message is an eighth of the tensor": lambda _: 2 * WHOLE,
            "a chunk takes N - 1 hops in each half, not N": lambda _: 2 * ONCE_MILLISECONDS,
            "these are seconds": lambda _: CHUNKED / 1e3,
        },
    ),
}
