"""Keys of fsdp_accounting, from the shape of xl by `shared.accounting` and rings by `shared.parallel_costs`."""

from shared.accounting import BYTES_PER_FLOAT32, parameters
from shared.doors.protocols import ModelConfig
from shared.parallel_costs import all_gather_bytes
from tests.harness.keys import Check, number

XL = ModelConfig(10_000, 512, 2560, 32, 32, 10_240)
RANKS, BYTES_PER_BFLOAT16 = 2, 2
COPIES = 4  # a parameter, its gradient and AdamW's two running means
COUNT = parameters(XL)
WHOLE = BYTES_PER_FLOAT32 * COUNT.total / 1e9
MATRICES = BYTES_PER_FLOAT32 * (COUNT.total - COUNT.norms) / 1e9  # norms are vectors: every rank has them all
VECTORS = WHOLE - MATRICES
GATHER = all_gather_bytes(MATRICES, RANKS)
"""What a rank sends of all matrices once, in float32; a reduce-scatter sends as much."""
SMALL = 2 * all_gather_bytes(VECTORS, RANKS)
"""The all-reduce of the norms' gradients."""
FEED_FORWARD = XL.d_model * XL.d_ff / 1e6

TWO_MEANS = "AdamW keeps two running means for each parameter"
IN_FULL = "a ring sends (N-1)/N of the whole from each rank"
TWICE = (
    "a matrix is gathered for the forward pass and again for the backward pass, and its gradient is scattered"
)
NO_ALL_REDUCE = "a reduce-scatter sends half of what an all-reduce sends"

CHECKS: dict[str, Check] = {
    "alone_gigabytes": number(
        lambda _: COPIES * WHOLE,
        {
            TWO_MEANS: lambda _: 3 * WHOLE,
            "parameters and gradients stay beside the state": lambda _: 2 * WHOLE,
        },
    ),
    "sharded_gigabytes": number(
        lambda _: COPIES * (MATRICES / RANKS + VECTORS),
        {
            "this is what all ranks hold together; each has a share": lambda _: COPIES * WHOLE,
            "gradients are shared as well": lambda _: (3 / RANKS + 1) * WHOLE,
            "parameters are shared as well, gradients too: that is what FSDP adds": lambda _: (
                (2 / RANKS + 2) * WHOLE
            ),
        },
    ),
    "sent_gigabytes": number(
        lambda _: 3 * GATHER + SMALL,
        {
            TWICE: lambda _: 2 * GATHER,
            NO_ALL_REDUCE: lambda _: 4 * GATHER,
            IN_FULL: lambda _: 3 * MATRICES,
        },
    ),
    "sent_half_gigabytes": number(
        lambda _: 2 * GATHER * BYTES_PER_BFLOAT16 / BYTES_PER_FLOAT32 + GATHER + SMALL,
        {
            "gradients are sent in float32": lambda _: 3 * GATHER / 2,
            "gathers have half of the bytes; a cast comes before they are sent": lambda _: 3 * GATHER,
            IN_FULL: lambda _: 2 * MATRICES,
        },
    ),
    "whole_megabytes": number(
        lambda _: 2 * BYTES_PER_BFLOAT16 * FEED_FORWARD,
        {
            "the next one is on its way already": lambda _: BYTES_PER_BFLOAT16 * FEED_FORWARD,
            "a layer is one matrix here; a block has seven": lambda _: (
                BYTES_PER_BFLOAT16 * (3 * FEED_FORWARD + 4 * XL.d_model**2 / 1e6)
            ),
            "bfloat16 has two bytes": lambda _: 2 * BYTES_PER_FLOAT32 * FEED_FORWARD,
        },
    ),
}
