"""Keys of optimizer_state_sharding_accounting, from the shape of xl by `shared.accounting`."""

from shared.accounting import BYTES_PER_FLOAT32, parameters
from shared.doors.protocols import ModelConfig
from tests.harness.keys import Check, number

XL = ModelConfig(10_000, 512, 2560, 32, 32, 10_240)
RANKS = 2
WEIGHTS = BYTES_PER_FLOAT32 * parameters(XL).total / 1e9
ONE_MOMENT = "AdamW keeps two running means for each parameter"
ALL_RANKS = "this is what all ranks hold together; each has a share"

CHECKS: dict[str, Check] = {
    "state_gigabytes": number(
        lambda _: 2 * WEIGHTS,
        {
            ONE_MOMENT: lambda _: WEIGHTS,
            "weights and gradients are no part of the optimizer's state": lambda _: 4 * WEIGHTS,
        },
    ),
    "shared_state_gigabytes": number(
        lambda _: 2 * WEIGHTS / RANKS,
        {ONE_MOMENT: lambda _: WEIGHTS / RANKS, ALL_RANKS: lambda _: 2 * WEIGHTS},
    ),
    "received_gigabytes": number(
        lambda _: WEIGHTS / RANKS,
        {
            "a rank has its own half already": lambda _: WEIGHTS,
            "moments stay where they are": lambda _: 3 * WEIGHTS / RANKS,
        },
    ),
}
