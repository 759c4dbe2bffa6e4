"""Keys of tp_calcs, computed by `shared.parallel_costs`."""

from tests.a2_systems.one_feed_forward import BACKWARD_IS_TWICE, COSTS, ONE_MORE, RING, SHARED_WORK
from tests.harness.keys import Check, number

N = 8
SENT = {
    "partial sums are summed on all ranks: an all-reduce, not an all-gather": lambda _: (
        5e2 * COSTS.tensor_parallel_seconds(N)
    ),
    RING: lambda _: 2e3 * COSTS.feature_bytes / COSTS.bytes_per_second,
    "features are sent here, not weights": lambda _: 1e3 * COSTS.data_parallel_seconds(N),
}

CHECKS: dict[str, Check] = {
    "forward_teraflops": number(
        lambda _: COSTS.forward_flops(N) / 1e12, {SHARED_WORK: lambda _: COSTS.forward_flops() / 1e12}
    ),
    "forward_ms": number(lambda _: 1e3 * COSTS.tensor_parallel_seconds(N), SENT),
    "backward_teraflops": number(
        lambda _: 2 * COSTS.forward_flops(N) / 1e12,
        {
            BACKWARD_IS_TWICE: lambda _: COSTS.forward_flops(N) / 1e12,
            SHARED_WORK: lambda _: 2 * COSTS.forward_flops() / 1e12,
        },
    ),
    "backward_ms": number(
        lambda _: 1e3 * COSTS.tensor_parallel_seconds(N),
        {
            "only the input's gradient is partial; one all-reduce, as in the forward pass": lambda _: (
                2e3 * COSTS.tensor_parallel_seconds(N)
            ),
            **SENT,
        },
    ),
    "forward_limit": number(
        lambda _: COSTS.tensor_parallel_limits()[0],
        {
            ONE_MORE: lambda _: COSTS.b,
            "features are sent here, so the limit grows with d_ff, not with the tokens": lambda _: (
                1 + COSTS.a
            ),
            "this is the limit of the backward pass": lambda _: COSTS.tensor_parallel_limits()[1],
            "a SwiGLU has three matrices": lambda _: 1 + COSTS.b * 2 / 3,
        },
    ),
    "backward_limit": number(
        lambda _: COSTS.tensor_parallel_limits()[1],
        {
            ONE_MORE: lambda _: 2 * COSTS.b,
            "the backward pass has twice the FLOPs and sends no more": lambda _: (
                COSTS.tensor_parallel_limits()[0]
            ),
            "it is 1 + 2 b, not 2 (1 + b)": lambda _: 2 + 2 * COSTS.b,
        },
    ),
}
