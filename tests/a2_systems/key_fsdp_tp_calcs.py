"""Keys of fsdp_tp_calcs, computed by `shared.parallel_costs`."""

from tests.a2_systems.one_feed_forward import COSTS, SHARED_WORK
from tests.harness.keys import Check, number

F, T = 32, 8

CHECKS: dict[str, Check] = {
    "forward_teraflops": number(
        lambda _: COSTS.forward_flops(F * T) / 1e12,
        {
            SHARED_WORK: lambda _: COSTS.forward_flops() / 1e12,
            "tokens are cut along one side and matrices along the other: both divide the work": lambda _: (
                COSTS.forward_flops(F) / 1e12
            ),
            "tokens are cut along one side, matrices along the other: both divide the work": lambda _: (
                COSTS.forward_flops(T) / 1e12
            ),
        },
    ),
    "weights_ms": number(
        lambda _: 1e3 * COSTS.two_dimensional_seconds(F, T)[0],
        {
            "a rank needs its tensor-parallel share of the weights, not all of them": lambda _: (
                1e3 * COSTS.fsdp_forward_seconds(F)
            ),
            "weights are gathered along the FSDP side": lambda _: 1e3 * COSTS.fsdp_forward_seconds(T) / F,
            "this is the time of the features": lambda _: 1e3 * COSTS.two_dimensional_seconds(F, T)[1],
        },
    ),
    "features_ms": number(
        lambda _: 1e3 * COSTS.two_dimensional_seconds(F, T)[1],
        {
            "a rank sums the features of its own tokens, not of all": lambda _: (
                1e3 * COSTS.tensor_parallel_seconds(T)
            ),
            "features are summed along the tensor side": lambda _: 1e3 * COSTS.tensor_parallel_seconds(F) / T,
            "this is the time of the weights": lambda _: 1e3 * COSTS.two_dimensional_seconds(F, T)[0],
        },
    ),
    "overlapped_limit": number(
        lambda _: COSTS.two_dimensional_limit(is_overlapped=True),
        {
            "each side's limit is 1 + ...": lambda _: COSTS.a * COSTS.b,
            "the limits of both sides are multiplied, for it is a grid": lambda _: 2 + COSTS.a + COSTS.b,
            "this is when they come one after the other": lambda _: COSTS.two_dimensional_limit(
                is_overlapped=False
            ),
        },
    ),
    "in_turn_limit": number(
        lambda _: COSTS.two_dimensional_limit(is_overlapped=False),
        {
            "ab/4 is what is left when both are large; here the exact limit is asked for": lambda _: (
                COSTS.a * COSTS.b / 4
            ),
            "this is when they overlap": lambda _: COSTS.two_dimensional_limit(is_overlapped=True),
            "half of each side's own limit is nearly it: where do the ones go?": lambda _: (
                (1 + COSTS.a) * (1 + COSTS.b) / 4
            ),
        },
    ),
    "in_turn_fsdp_ranks": number(
        lambda _: COSTS.best_fsdp_ranks(),
        {
            "this is the tensor side": lambda _: (
                COSTS.two_dimensional_limit(is_overlapped=False) / COSTS.best_fsdp_ranks()
            ),
            "this is the side's limit when the two overlap": lambda _: 1 + COSTS.a,
            "a/2 is what is left when both are large": lambda _: COSTS.a / 2,
        },
    ),
}
