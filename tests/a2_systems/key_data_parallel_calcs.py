"""Keys of data_parallel_calcs, computed by `shared.parallel_costs`."""

from tests.a2_systems.one_feed_forward import BACKWARD_IS_TWICE, COSTS, ONE_MORE, RING, SHARED_WORK
from tests.harness.keys import Check, number

N = 16

CHECKS: dict[str, Check] = {
    "backward_teraflops": number(
        lambda _: 2 * COSTS.forward_flops(N) / 1e12,
        {
            BACKWARD_IS_TWICE: lambda _: COSTS.forward_flops(N) / 1e12,
            SHARED_WORK: lambda _: 2 * COSTS.forward_flops() / 1e12,
            "a SwiGLU has three matrices": lambda _: 2 * COSTS.forward_flops(N) * 2 / 3 / 1e12,
        },
    ),
    "backward_ms": number(
        lambda _: 1e3 * COSTS.data_parallel_seconds(N),
        {
            "an all-reduce is a reduce-scatter and an all-gather": lambda _: (
                1e3 * COSTS.fsdp_forward_seconds(N)
            ),
            RING: lambda _: 1e3 * 2 * COSTS.weight_bytes / COSTS.bytes_per_second,
            "gradients of two bytes are sent": lambda _: 2e3 * COSTS.data_parallel_seconds(N),
            "a SwiGLU has three matrices": lambda _: 1e3 * COSTS.data_parallel_seconds(N) * 2 / 3,
            "weights' gradients are sent, not features": lambda _: 1e3 * COSTS.tensor_parallel_seconds(N),
        },
    ),
    "limit": number(
        lambda _: COSTS.data_parallel_limit(),
        {
            ONE_MORE: lambda _: COSTS.a,
            "the backward pass has twice the FLOPs of the forward pass": lambda _: 1 + COSTS.a / 2,
            "an all-reduce sends twice what an all-gather sends": lambda _: 1 + 2 * COSTS.a,
        },
    ),
}
