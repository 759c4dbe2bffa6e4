"""The problems of stage 2: layers on different ranks, and layers of which each rank has a part."""

from shared.doors.exercise import Exercise

PIPELINE_SCHEDULE = Exercise(
    id="pipeline_schedule",
    title="The schedules of a pipeline",
    points=5,
    door=("pipeline_schedule",),
    budget="about 40 lines; no training",
    why=(
        "A model too large for one GPU is cut into stages, and most of what is then lost is lost to a bad order: ranks "
        "that wait, or activations that do not fit. The order is a list, and can be right before anything is run."
    ),
    hints=(
        "Draw two stages and three microbatches on squared paper, a line for each rank: forward passes one square, "
        "backward passes two. Where can rank 0 not go on, whatever it would like to do?",
        "gpipe needs no thought about the rank: all F, then all B. For 1f1b ask how many F a rank must have done "
        "before its first B can come: p - 1 - r are on their way when its own is done.",
        "1f1b is p - 1 - r forward passes (or m, if there are fewer), then F, B, F, B …, then the B that are left. One "
        "loop over the backward passes does it: before B of microbatch i comes F of i + p - 1 - r, while there is one.",
        "zero_bubble: the same with I for B. Then W: directly after its I on rank 0, which holds the most already; on "
        "rank r, r microbatches later. What is left over at the end are the last r.",
        "Traps: an F too few before the first B (the last rank waits in every round), or one too many (memory); m < p; "
        "W before its I, or all W at the end, which holds all activations; stages counted from 1.",
    ),
)

TENSOR_PARALLEL_LINEAR = Exercise(
    id="tensor_parallel_linear",
    title="Linear layers of which each rank has a part",
    points=4,
    door=("column_parallel_linear", "row_parallel_linear"),
    budget="about 25 lines; no training",
    why=(
        "Every model that is served or trained on more than one GPU of a node is split this way. Messages sent where "
        "none are needed halve its speed; one that is missing in the backward pass leaves wrong gradients and no error."
    ),
    hints=(
        "Write y = x W^T for a W of four rows on paper, and cut W between its rows, then between its columns. What "
        "does each half give you: a piece of y, or a term of it?",
        "Column-parallel: every rank has all of x, and its rows of W give its piece of y. Backward, each rank knows "
        "what its piece says about x. The gradient of x is the sum of what all say.",
        "Row-parallel: x arrives in pieces, each rank has a term of y, and y is their sum. Backward, the gradient of y "
        "is the same on all ranks, and each term counted once.",
        "Two torch.autograd.Functions: one is the identity forward and dist.all_reduce backward, the other the reverse."
        " Column: the first on the input, then x @ W^T. Row: x @ W^T, then the second on the output.",
        "Traps: dist.all_reduce overwrites its tensor: clone (and contiguous) first; the mean in place of the sum; "
        "all-reduce in both directions; autograd does not see dist.all_reduce, so without a Function nothing comes "
        "back or the message is missing.",
    ),
)

EXERCISES: tuple[Exercise, ...] = (PIPELINE_SCHEDULE, TENSOR_PARALLEL_LINEAR)
