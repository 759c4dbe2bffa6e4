"""Keys of gradient_checkpointing, computed by `shared.accounting` from what a block of the handout keeps."""

from shared.accounting import grouped_checkpoints_bytes
from tests.harness.keys import Check, number

BLOCKS, INPUT_MIB, BLOCK_MIB = 32, 80, 3651


def groups_of(group: int) -> float:
    """The peak with groups of this size."""
    return grouped_checkpoints_bytes(BLOCKS, group, INPUT_MIB, BLOCK_MIB)


def peak(group: int) -> Check:
    """The check of one size."""
    inputs = BLOCKS // group * INPUT_MIB
    return number(
        lambda _: groups_of(group),
        {
            "these are the inputs; one group's inside is back while it is walked": lambda _: inputs,
            "the whole group is recomputed at once: all its blocks' insides are back": lambda _: (
                inputs + BLOCK_MIB if group > 1 else -1
            ),
            "an input is kept for each group, not for each block": lambda _: (
                BLOCKS * INPUT_MIB + group * BLOCK_MIB if group > 1 else -1
            ),
            "the inputs of all groups are there besides": lambda _: group * BLOCK_MIB,
            "without checkpoints all blocks keep their inside": lambda _: BLOCKS * BLOCK_MIB,
        },
    )


def halved(blocks: int) -> tuple[int, int]:
    """Inputs kept at most, and blocks recomputed, when checkpoints are halved down to one block."""
    if blocks == 1:
        return 1, 0
    half = blocks // 2
    inputs, again = halved(half)
    # Walking the second half, its input and the first one's are kept; the halves are each recomputed once.
    return inputs + 1, 2 * (half + again)


CHECKS: dict[str, Check] = {
    "groups_of_1_mib": peak(1),
    "groups_of_2_mib": peak(2),
    "groups_of_4_mib": peak(4),
    "best_group": number(
        lambda _: min((g for g in range(1, BLOCKS + 1) if BLOCKS % g == 0), key=groups_of),
        {
            "the root of the number of blocks holds when a block keeps no more than its input": lambda _: 6,
            "all in one keeps everything again, at once": lambda _: BLOCKS,
        },
        "compute the peak for 1, 2 and 4, and look which way it goes",
    ),
    "halved_inputs": number(
        lambda _: halved(BLOCKS)[0],
        {
            "one for each level, and one more: at the bottom both halves' inputs are there": lambda _: (
                halved(BLOCKS)[0] - 1
            ),
            "that is without a tree: most of these are gone when another part is walked": lambda _: BLOCKS,
        },
        "draw it for four blocks and walk it from the end",
    ),
    "halved_forwards": number(
        lambda _: BLOCKS + halved(BLOCKS)[1],
        {
            "the forward pass itself counts too": lambda _: halved(BLOCKS)[1],
            "that is one recomputation; each level recomputes all blocks once": lambda _: 2 * BLOCKS,
        },
        "draw it for four blocks and count how often each runs",
    ),
}
