"""The problems of planning: what a split over devices sends, and how many devices it keeps busy; and the race.

Only metadata: the keys of the numbers are computed in `tests/a2_systems/key_<problem>.py`.
"""

from shared.doors.exercise import Exercise, Question

TFLOP, MS, RANKS = "TFLOP, of 10^12", "ms, of 10^-3 s", "ranks, fractions and all"
TOLERANCE = 0.005
BACKWARD_LIMIT = "The most ranks at which the backward pass still waits for arithmetic, not for sending."
FORWARD_LIMIT = "The most ranks at which the forward pass still waits for arithmetic, not for sending."


def asked(id: str, asks: str, unit: str) -> Question:
    """A number that is right within half a per cent."""
    return Question(id, asks, unit, tolerance_fraction=TOLERANCE)


DATA_PARALLEL_CALCS = Exercise(
    id="data_parallel_calcs",
    title="How far data parallelism goes",
    points=3,
    kind="numeric",
    deliverable="3 numbers in `answers.toml`",
    budget="half an hour with paper; no computer needed",
    figures="computed from the shape in the handout",
    why="Beyond a number of ranks that can be computed beforehand, every further GPU is bought to wait.",
    hints=(
        "A forward pass of three matrices costs 6 tokens d_model d_ff FLOPs, the backward pass twice that. Each rank "
        "has a share of the tokens, and all weights.",
        "A ring all-reduce of S bytes sends 2 S (N-1)/N. S is what all gradients take: three matrices, two bytes each.",
        "Set seconds of arithmetic equal to seconds of sending and solve for N: both have 1/N, only one has N-1.",
    ),
    questions=(
        asked("backward_teraflops", "The backward pass on 16 ranks: FLOPs of each rank.", TFLOP),
        asked("backward_ms", "The all-reduce of the gradients on 16 ranks.", MS),
        asked("limit", BACKWARD_LIMIT, RANKS),
    ),
)

FSDP_CALCS = Exercise(
    id="fsdp_calcs",
    title="What sharding the weights costs",
    points=3,
    kind="numeric",
    deliverable="6 numbers in `answers.toml`",
    budget="half an hour with paper; no computer needed",
    figures="computed from the shape in the handout",
    why="FSDP keeps 1/N of everything and pays in messages: without the count, memory is paid with half the speed.",
    prerequisites=("data_parallel_calcs",),
    hints=(
        "What must a rank have before it can multiply, forwards and again backwards? What must leave it afterwards?",
        "An all-gather, or a reduce-scatter, sends S (N-1)/N: half of an all-reduce.",
        "The backward pass has twice the FLOPs and twice the bytes of the forward pass.",
    ),
    questions=(
        asked("forward_teraflops", "The forward pass on 16 ranks: FLOPs of each rank.", TFLOP),
        asked("forward_ms", "What is sent in the forward pass.", MS),
        asked("backward_teraflops", "The backward pass: FLOPs of each rank.", TFLOP),
        asked("backward_ms", "What is sent in the backward pass.", MS),
        asked("forward_limit", FORWARD_LIMIT, RANKS),
        asked("backward_limit", BACKWARD_LIMIT, RANKS),
    ),
)

TP_CALCS = Exercise(
    id="tp_calcs",
    title="How far one layer can be cut",
    points=4,
    kind="numeric",
    deliverable="6 numbers in `answers.toml`",
    budget="an hour with paper; no computer needed",
    figures="computed from the shape in the handout",
    why="Tensor parallelism sends features, not weights: its limit does not grow with the batch; eight is often all.",
    prerequisites=("data_parallel_calcs",),
    hints=(
        "Cut the first two matrices by d_ff and the third by d_ff as well: what does each rank hold at the end, and "
        "what is missing?",
        "Every rank has a partial sum of the result, tokens x d_model. One all-reduce makes it whole.",
        "Backwards the gradient of the result is there on all ranks; what is partial is the gradient of the input.",
        "So both passes send the same, and the backward pass computes twice as much.",
    ),
    questions=(
        asked("forward_teraflops", "The forward pass on 8 ranks: FLOPs of each rank.", TFLOP),
        asked("forward_ms", "What is sent in the forward pass.", MS),
        asked("backward_teraflops", "The backward pass: FLOPs of each rank.", TFLOP),
        asked("backward_ms", "What is sent in the backward pass.", MS),
        asked("forward_limit", FORWARD_LIMIT, RANKS),
        asked("backward_limit", BACKWARD_LIMIT, RANKS),
    ),
)

FSDP_TP_CALCS = Exercise(
    id="fsdp_tp_calcs",
    title="Both at once",
    points=6,
    kind="numeric",
    deliverable="6 numbers in `answers.toml`",
    budget="two hours with paper; no computer needed",
    figures="computed from the shape in the handout",
    why="A thousand GPUs are a grid. Which sides it should have is two lines of algebra, or a month lost.",
    prerequisites=("fsdp_calcs", "tp_calcs"),
    hints=(
        "Of a grid of N_F by N_T, a rank has 1/N_F of the tokens and works with 1/N_T of each matrix. It gathers the "
        "latter along one side and sums features along the other.",
        "Overlapped, the longer of the two times counts, so each side has a limit of its own: that of FSDP and that of "
        "tensor parallelism, as if the other were not there.",
        "One after the other: (N_F - 1)/a + (N_T - 1)/b <= 1. Which point of that line has the greatest product?",
        "Write it as N_F/a + N_T/b <= s with s = 1 + 1/a + 1/b: each of the two terms takes half of s.",
    ),
    questions=(
        asked(
            "forward_teraflops",
            "The forward pass on a grid of 32 (FSDP) by 8 (tensor): FLOPs of each rank.",
            TFLOP,
        ),
        asked("weights_ms", "There, the time of gathering weights.", MS),
        asked("features_ms", "There, the time of summing features.", MS),
        asked("overlapped_limit", "The most ranks in all when the two kinds of sending overlap.", RANKS),
        asked("in_turn_limit", "The most ranks in all when they come one after the other.", RANKS),
        asked("in_turn_fsdp_ranks", "The side along which weights are gathered, of that last grid.", RANKS),
    ),
)

LEADERBOARD = Exercise(
    id="leaderboard",
    title="A whole step against the clock",
    points=10,
    kind="written",
    deliverable="the time of a step, what was changed in which order, and what each change brought",
    budget="10 minutes from empty caches on two B200-class GPUs",
    figures="8.1B parameters, batch 2 of 32,768 tokens: below 10 s; 3.8 s is the best public entry",
    small="the preset toy on two CPU ranks, measured in interleaved pairs with a control",
    why="Everything of this stage in one number, and the order in which it pays.",
    rubric=(
        "Beats 10 s for the whole step (forward, loss, backward, AdamW), or on a CPU a fifth less than plain "
        "data parallelism, with the batch, the sequence and the results of the step unchanged.",
        "Shows that losses and weights after some steps are those of the plain code, within a stated tolerance.",
        "Gives the gain of each change alone, failed ones too, from measurements against a control.",
        "Compares the best time with the time of the arithmetic alone, and says where the rest goes.",
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    DATA_PARALLEL_CALCS,
    FSDP_CALCS,
    TP_CALCS,
    FSDP_TP_CALCS,
    LEADERBOARD,
)
