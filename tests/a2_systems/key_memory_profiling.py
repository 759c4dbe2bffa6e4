"""Keys of memory_profiling, computed from the shape of xl by `shared.accounting`."""

from shared.accounting import BYTES_PER_FLOAT32, parameters, residual_stream_bytes
from shared.doors.protocols import ModelConfig
from tests.harness.keys import Check, Given, number

XL = ModelConfig(10_000, context_length=2048, d_model=2560, num_layers=32, num_heads=32, d_ff=10_240)
BATCH, MIB = 4, 2**20
WEIGHTS = BYTES_PER_FLOAT32 * parameters(XL).total / 1e9
SCORES = BYTES_PER_FLOAT32 * BATCH * XL.num_heads * 2048**2 / MIB


def stream(seq: int) -> Check:
    """The residual stream at a length."""

    def mib(_: Given) -> float:
        return residual_stream_bytes(XL, BATCH, seq) / MIB

    return number(
        mib,
        {
            "these are units of 10^6 bytes; a MiB has 2^20": lambda given: mib(given) * MIB / 1e6,
            "a batch of four sequences": lambda given: mib(given) / BATCH,
            "float32 takes four bytes": lambda given: mib(given) / 2,
            "one tensor of batch x length x d_model; d_ff does not enter": lambda given: (
                mib(given) * XL.d_ff / XL.d_model
            ),
        },
    )


CHECKS: dict[str, Check] = {
    "stream_128_mib": stream(128),
    "stream_512_mib": stream(512),
    "stream_2048_mib": stream(2048),
    "weights_gb": number(
        lambda _: WEIGHTS,
        {
            "float32 takes four bytes, not two": lambda _: WEIGHTS / 2,
            "the feed-forward has three matrices": lambda _: (
                WEIGHTS - BYTES_PER_FLOAT32 * parameters(XL).feed_forward / 3 / 1e9
            ),
        },
    ),
    "optimizer_gb": number(
        lambda _: 2 * WEIGHTS,
        {
            "AdamW keeps two running means for each parameter": lambda _: WEIGHTS,
            "the gradient is no part of AdamW's state": lambda _: 3 * WEIGHTS,
        },
    ),
    "scores_mib": number(
        lambda _: SCORES,
        {
            "each head has scores of its own": lambda _: SCORES / XL.num_heads,
            "each sequence has scores of its own": lambda _: SCORES / BATCH,
            "every query has a score for every key": lambda _: SCORES / 2048,
        },
    ),
}
