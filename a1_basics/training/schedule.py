"""The learning rate as a function of the step: linear warm-up, half a cosine down, then flat."""

import math


def cosine_schedule(
    step: int, *, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, cosine_end_step: int
) -> float:
    """The rate at `step`: rises from 0 to the maximum at `warmup_steps`, falls to the minimum at `cosine_end_step`.

    Without warm-up the maximum stands at step 0; a cosine of no length is a jump to the minimum after its only step.

    >>> [cosine_schedule(t, max_learning_rate=1.0, min_learning_rate=0.0, warmup_steps=2, cosine_end_step=6)
    ...  for t in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: [sgdr-2017] equation 5, without restarts.
    """
    if step < warmup_steps:
        return max_learning_rate * step / warmup_steps
    if step > cosine_end_step:
        return min_learning_rate
    progress = (step - warmup_steps) / max(cosine_end_step - warmup_steps, 1)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * progress)) * (
        max_learning_rate - min_learning_rate
    )
