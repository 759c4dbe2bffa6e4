"""Which blocks are checkpointed together: plans as trees, what they cost, and the best one within a byte budget.

A plan is a tuple. A number in it is a block that runs plainly and keeps its inside; a tuple in it is a checkpoint, and
what is in that is the plan of its recomputation. For four blocks:

    (0, 1, 2, 3)              nothing checkpointed
    ((0,), (1,), (2,), (3,))  every block
    ((0, 1), (2, 3))          every two blocks
    (((0,), (1,)), 2, 3)      the first two in a checkpoint, and again when that is recomputed; the others plain
"""

import functools
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from a2_systems.parallel.activation_checkpointing import run_checkpointed

Plan = tuple[Any, ...]  # of block numbers and of Plans


def plain(num_blocks: int) -> Plan:
    """No checkpoints."""
    return tuple(range(num_blocks))


def every(num_blocks: int, group: int = 1) -> Plan:
    """Each `group` neighbouring blocks in a checkpoint; the last one may be smaller.

    >>> every(5, 2)
    ((0, 1), (2, 3), (4,))
    """
    return tuple(tuple(range(start, min(start + group, num_blocks))) for start in range(0, num_blocks, group))


def best_groups(num_blocks: int, input_bytes: int, block_bytes: int) -> Plan:
    """The groups of one size, not nested, whose peak is the lowest: about the root of blocks x inside / input.

    Source: [checkpointing-2016] section 4.1, there with an inside as large as the input.
    """
    groups = [every(num_blocks, group) for group in range(1, num_blocks + 1)]
    return min(groups, key=lambda plan: peak_bytes(plan, input_bytes, block_bytes))


def halves(num_blocks: int, first: int = 0) -> Plan:
    """A checkpoint for each half, and in each again, down to single blocks: memory grows with the logarithm.

    Source: [checkpointing-2016] section 4.3; [revolve-2000] for what is optimal.
    """
    if num_blocks == 1:
        return (first,)
    left = num_blocks // 2
    return (halves(left, first), halves(num_blocks - left, first + left))


def blocks_of(plan: Plan) -> Iterator[int]:
    """The blocks in the order in which they run."""
    for part in plan:
        yield from (part,) if isinstance(part, int) else blocks_of(part)


def peak_bytes(plan: Plan, input_bytes: int, block_bytes: int) -> int:
    """The most that is kept at once: `block_bytes` for a plain block, `input_bytes` for what enters a checkpoint.

    In the backward pass, when the last k parts are done, the inside of the part before them is there and so is all that
    the parts before that one keep. A checkpoint at the very start of another keeps the same tensor as that one.
    """
    return _peak(plan, input_bytes, block_bytes, has_input=False)


def _peak(plan: Plan, input_bytes: int, block_bytes: int, *, has_input: bool) -> int:
    held = input_bytes if has_input else 0
    peak = 0
    for place, part in enumerate(plan):
        is_shared = place == 0 and has_input
        if isinstance(part, int):
            held += block_bytes
            peak = max(peak, held)
            continue
        kept = 0 if is_shared else input_bytes
        inside = _peak(part, input_bytes, block_bytes, has_input=True)
        peak = max(peak, held + kept + inside - input_bytes)
        held += kept
        peak = max(peak, held)
    return peak


def recomputed_blocks(plan: Plan) -> int:
    """How many forward passes of one block a step needs besides the first one of each."""
    return sum(
        0 if isinstance(part, int) else sum(1 for _ in blocks_of(part)) + recomputed_blocks(part)
        for part in plan
    )


def cheapest_plan(
    num_blocks: int, input_bytes: int, block_bytes: int, budget_bytes: int, unit_bytes: int = 0
) -> Plan | None:
    """The plan with the fewest recomputed blocks whose peak is within the budget; None when there is none.

    By dynamic programming from the last block backwards: what comes after a part is already gone when that part is
    recomputed, so a part may use all that the parts before it leave. The first part of a plan is a plain block, or a
    checkpoint of the next k blocks, whose inside is again the best plan within what is left.
    """
    found = _cheapest(num_blocks, input_bytes, block_bytes, budget_bytes, False)
    return None if found is None else _renumbered(found[1], 0)


@functools.lru_cache(maxsize=200_000)
def _cheapest(
    blocks: int, input_bytes: int, block_bytes: int, budget: int, has_input: bool
) -> tuple[int, Plan] | None:
    """The cost, and the plan with blocks counted from 0; `budget` is what may be held besides what is held already."""
    if blocks == 0:
        return 0, ()
    if budget >= blocks * block_bytes:
        return 0, plain(blocks)
    best: tuple[int, Plan] | None = None
    if budget >= block_bytes:
        rest = _cheapest(blocks - 1, input_bytes, block_bytes, budget - block_bytes, False)
        if rest is not None:
            best = rest[0], (0, *rest[1])
    kept = 0 if has_input else input_bytes
    for size in range(1, blocks + (0 if has_input else 1)):  # all of a checkpoint again in one gains nothing
        if budget < kept:
            break
        inside = _cheapest(size, input_bytes, block_bytes, budget - kept, True)
        if inside is None:
            continue
        rest = _cheapest(blocks - size, input_bytes, block_bytes, budget - kept, False)
        if rest is None:
            continue
        cost = size + inside[0] + rest[0]
        if best is None or cost < best[0]:
            best = cost, (inside[1], *rest[1])
    return best


def _renumbered(plan: Plan, first: int) -> Plan:
    """The same plan with blocks numbered in the order in which they run."""
    parts: list[Any] = []
    for part in plan:
        if isinstance(part, int):
            parts.append(first)
            first += 1
        else:
            parts.append(_renumbered(part, first))
            first += sum(1 for _ in blocks_of(part))
    return tuple(parts)


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Run the model's `layers` by this plan from now on; its weights and their names stay as they are.

    The first block's call runs the whole plan and the calls of the others hand their input on, so the model's own loop
    needs to know nothing. Applying another plan replaces this one.

    Raises:
        ValueError: the plan does not name every block once, in order.
    """
    blocks: list[Any] = list(model.layers)  # type: ignore[arg-type]
    if list(blocks_of(plan)) != list(range(len(blocks))):
        raise ValueError(
            f"the plan runs blocks {list(blocks_of(plan))}; the model has {len(blocks)}, each wanted once, in order"
        )
    remove_plan(model)
    forwards = [block.forward for block in blocks]

    def run(part: Plan | int, features: Tensor, keywords: dict[str, Any]) -> Tensor:
        if isinstance(part, int):
            return forwards[part](features, **{**keywords, "layer": part})
        for inner in part:
            if isinstance(inner, int):
                features = run(inner, features, keywords)
            else:
                features = run_checkpointed(lambda x, inner=inner: run(inner, x, keywords), features)
        return features

    for number, block in enumerate(blocks):
        # On the instance: the class, and so every other model, stays as it is.
        block.forward = (
            (lambda features, **keywords: run(plan, features, keywords))
            if number == 0
            else (lambda features, **_: features)
        )


def remove_plan(model: nn.Module) -> None:
    """Let the blocks run as their class says again."""
    for block in model.layers:  # type: ignore[union-attr]
        vars(block).pop("forward", None)
