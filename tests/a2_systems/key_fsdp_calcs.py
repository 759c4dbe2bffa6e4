"""Keys of fsdp_calcs, computed by `shared.parallel_costs`."""

from tests.a2_systems.one_feed_forward import BACKWARD_IS_TWICE, COSTS, ONE_MORE, RING, SHARED_WORK
from tests.harness.keys import Check, number

N = 16
AN_ALL_REDUCE = "an all-gather sends half of what an all-reduce sends"
LIMITS = {
    ONE_MORE: lambda _: COSTS.a,
    "FLOPs and bytes of a pass grow together: compare the two of the same pass": lambda _: 1 + COSTS.a / 2,
    "weights are sent here, so the limit grows with the tokens, not with d_ff": lambda _: 1 + COSTS.b,
}

CHECKS: dict[str, Check] = {
    "forward_teraflops": number(
        lambda _: COSTS.forward_flops(N) / 1e12,
        {
            SHARED_WORK: lambda _: COSTS.forward_flops() / 1e12,
            "a SwiGLU has three matrices": lambda _: COSTS.forward_flops(N) * 2 / 3 / 1e12,
        },
    ),
    "forward_ms": number(
        lambda _: 1e3 * COSTS.fsdp_forward_seconds(N),
        {
            AN_ALL_REDUCE: lambda _: 1e3 * COSTS.data_parallel_seconds(N),
            RING: lambda _: 1e3 * COSTS.weight_bytes / COSTS.bytes_per_second,
        },
    ),
    "backward_teraflops": number(
        lambda _: 2 * COSTS.forward_flops(N) / 1e12,
        {
            BACKWARD_IS_TWICE: lambda _: COSTS.forward_flops(N) / 1e12,
            SHARED_WORK: lambda _: 2 * COSTS.forward_flops() / 1e12,
        },
    ),
    "backward_ms": number(
        lambda _: 1e3 * COSTS.fsdp_backward_seconds(N),
        {
            "the weights are gathered again, and their gradients are scattered": lambda _: (
                1e3 * COSTS.fsdp_forward_seconds(N)
            ),
            "gradients are scattered, not sent to all: half of an all-reduce": lambda _: (
                3e3 * COSTS.fsdp_forward_seconds(N)
            ),
            RING: lambda _: 2e3 * COSTS.weight_bytes / COSTS.bytes_per_second,
        },
    ),
    "forward_limit": number(lambda _: COSTS.data_parallel_limit(), LIMITS),
    "backward_limit": number(lambda _: COSTS.data_parallel_limit(), LIMITS),
}
