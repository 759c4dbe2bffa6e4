"""The problems of measuring: where time and memory of a training step go, and what precision and recomputation buy.

Only metadata: the keys of the numbers are computed in `tests/a2_systems/key_<problem>.py`.
"""

from shared.doors.exercise import Exercise, Question

MIB = "MiB, of 2^20 bytes"
DTYPE = 'a dtype in quotes, such as "float16"'

BENCHMARKING_SCRIPT = Exercise(
    id="benchmarking_script",
    title="The time of a step",
    points=4,
    kind="written",
    deliverable="a script, a table of three phases by size, and a paragraph",
    budget="about 80 lines; minutes on one GPU",
    small="the presets tiny and toy of `a2_systems.run.measure_step`: seconds on one core",
    why="A clock read at the wrong moment times the queue, not the work; all that follows rests on this measurement.",
    hints=(
        "A GPU takes orders and returns at once. What does a clock read then?",
        "synchronize, read the clock, work, synchronize, read it again; a few steps before the first one counts.",
        "Forward, forward and backward, and the whole step are three measurements: differences of them are noisier "
        "than phases timed each for itself.",
    ),
    rubric=(
        "Times forward, backward and optimizer step apart, synchronized before each reading of the clock.",
        "Gives mean and standard deviation of ten measured steps after five that do not count, for several sizes.",
        "Repeats that with 0, 1 and 2 steps before, and explains the difference by what happens only once.",
        "States machine, precision, batch and context.",
    ),
)

NSYS_PROFILE = Exercise(
    id="nsys_profile",
    title="What the time is made of",
    points=5,
    kind="written",
    deliverable="five short answers, each with the line of the profile that shows it",
    budget="half an hour on one GPU with Nsight Systems",
    small="torch.profiler on a CPU (`a2_systems.measure.trace`): the same five questions, asked of operators",
    why="FLOPs say what a step should cost and a profile says what it does cost: the gap is where speed is found.",
    rubric=(
        "Gives the forward pass's total time and compares it with the time without a profiler.",
        "Names the kernel or operator with the most time in the forward pass, how often it ran, and whether it is the "
        "same with the backward pass.",
        "Names what besides matrix products takes time in the forward pass.",
        "Says how the share of matrix products changes from inference to a whole training step, and why.",
        "Compares the times of softmax and of the products within attention with their FLOPs, and explains the gap.",
    ),
)

MIXED_PRECISION_ACCUMULATION = Exercise(
    id="mixed_precision_accumulation",
    title="A thousand hundredths",
    points=1,
    kind="numeric",
    deliverable="6 numbers in `answers.toml`",
    budget="minutes at a prompt",
    why="A sum in half precision stops growing long before it is done: gradients of small size vanish in it.",
    hints=(
        "Run the four loops and print with six decimals. Two differ from 10 by what 0.01 is in that format, two by "
        "how they are summed.",
        "A sum stands still once what is added is less than half the distance to the next number of the format.",
    ),
    questions=(
        Question("float32_sum", "float32 terms in a float32 sum.", "the sum", slack=2e-5),
        Question("float16_sum", "float16 terms in a float16 sum.", "the sum", slack=2e-5),
        Question("mixed_sum", "float16 terms added to a float32 sum.", "the sum", slack=2e-5),
        Question(
            "widened_sum", "float16 terms, each made float32 before it is added.", "the sum", slack=2e-5
        ),
        Question(
            "float16_stops_at",
            "Go on with the second loop for ever: where does the sum come to rest?",
            "the sum",
        ),
        Question("bfloat16_stops_at", "And with bfloat16 in float16's place?", "the sum"),
    ),
)

BENCHMARKING_MIXED_PRECISION = Exercise(
    id="benchmarking_mixed_precision",
    title="Which number has which format",
    points=2,
    kind="written",
    deliverable="7 dtypes in `answers.toml`, two paragraphs and a table",
    budget="minutes on one GPU",
    small="autocast on a CPU; the speed depends on whether it has bfloat16 instructions, and that is a finding",
    why="Autocast is a list of operations. Who does not know it puts a sum where its low bits are lost.",
    rubric=(
        "Says which parts of LayerNorm need float32 in float16, and whether bfloat16 changes that.",
        "Gives times of full and of mixed precision for several sizes and says how the gain grows with the size.",
    ),
    questions=(
        Question("parameters", "The parameters inside the autocast block.", DTYPE, form="name"),
        Question("fc1", "What the first linear layer returns.", DTYPE, form="name"),
        Question("norm", "What the LayerNorm returns.", DTYPE, form="name"),
        Question("cpu_norm", "And on a CPU, with autocast to bfloat16: try it.", DTYPE, form="name"),
        Question("logits", "What the last linear layer returns.", DTYPE, form="name"),
        Question("loss", "The cross-entropy.", DTYPE, form="name"),
        Question("gradients", "The parameters' gradients.", DTYPE, form="name"),
    ),
)

MEMORY_PROFILING = Exercise(
    id="memory_profiling",
    title="What holds the memory",
    points=4,
    kind="written",
    deliverable="timelines, a table of peaks, three short answers, and 6 numbers in `answers.toml`",
    budget="half an hour on one large GPU",
    figures="the residual stream of xl, batch 4: 5 MiB at 128 tokens",
    small="`a2_systems.measure.memory` counts the same bytes on a CPU; tiny and toy show the same shape",
    why="Out of memory is the commonest end of a run, and the only one that can be computed beforehand.",
    rubric=(
        "Shows the timeline of a forward pass and of a whole step, and says which part of the step each rise is.",
        "Gives peaks by context length for forward pass and step, and says what grows linearly, what with its square.",
        "Says how mixed precision changes the peak, and why it does not halve it.",
        "Names the largest allocations and the lines of the model that make them.",
        "Says what a block keeps for its backward pass, and compares with the count from its shape.",
    ),
    questions=(
        *(
            Question(
                f"stream_{seq}_mib",
                f"The residual stream of xl (d_model 2,560), batch 4, {seq:,} tokens, float32: its size.",
                MIB,
                tolerance_fraction=0.001,
            )
            for seq in (128, 512, 2048)
        ),
        Question(
            "weights_gb", "The weights of xl in float32.", "GB, of 10^9 bytes", tolerance_fraction=0.005
        ),
        Question(
            "optimizer_gb",
            "What AdamW keeps of xl, in float32.",
            "GB, of 10^9 bytes",
            tolerance_fraction=0.005,
        ),
        Question(
            "scores_mib",
            "The attention scores of one block of xl (32 heads), batch 4, 2,048 tokens, float32, written out.",
            MIB,
            tolerance_fraction=0.001,
        ),
    ),
)

ACTIVATION_CHECKPOINTING = Exercise(
    id="activation_checkpointing",
    title="Computed twice, kept never",
    points=3,
    door=("run_checkpointed",),
    budget="about 35 lines; no training",
    why=(
        "A block keeps some twenty times the bytes of its input. Recomputing it costs a third more time and lets a "
        "model of many times the size into the same memory; done wrong, it trains another network without an error."
    ),
    hints=(
        "An autograd.Function's forward runs without recording. What does its backward need to call the function "
        "again, this time recorded?",
        "In backward: detach the arguments, give each the requires_grad it had, run the function under enable_grad, "
        "and send the incoming gradients through its result. The arguments' .grad is what you return.",
        "A Function's result needs a gradient only if one of its tensor arguments does. Weights inside the function "
        "are no arguments: hand in one more tensor that needs a gradient and is not used.",
        "Between the two runs the world moved on: keep torch.get_rng_state() and whether autocast was on, and with "
        "which dtype. fork_rng gives the generator back afterwards.",
        "Traps: arguments not detached; save_for_backward takes tensors alone; a generator left set back; backward "
        "called outside the autocast block; results that need no gradient; ones in place of the incoming gradient.",
    ),
    forbidden=(
        "torch.utils.checkpoint.checkpoint",
        "torch.utils.checkpoint.checkpoint_sequential",
        "torch.utils.checkpoint.CheckpointFunction",
    ),
)

GRADIENT_CHECKPOINTING = Exercise(
    id="gradient_checkpointing",
    title="Where to put checkpoints",
    points=4,
    kind="written",
    deliverable="a strategy with its growth, a measured comparison, and 6 numbers in `answers.toml`",
    budget="half an hour on one large GPU",
    figures="xl, batch 4, 2,048 tokens: a block keeps 3,651 MiB, its input 80 MiB",
    small="16 blocks of toy: `a2_systems.measure.memory.KeptBytes` proves the count to the byte on a CPU",
    why="One checkpoint for all keeps nothing and saves nothing: where they are put decides what they bring.",
    rubric=(
        "States the strategy that keeps least when recomputation costs nothing, with the growth of memory and of "
        "recomputed work in the number of blocks, and the argument for both.",
        "Measures peak and time of the best group size for xl and of its neighbours, and compares with the count.",
        "Says which one to take on a given card, and why that is not the one with the least memory.",
    ),
    questions=(
        *(
            Question(
                f"groups_of_{group}_mib",
                f"32 blocks as above, {'each' if group == 1 else f'{group} neighbours'} in a checkpoint: the most kept "
                "at once.",
                MIB,
                tolerance_fraction=0.001,
            )
            for group in (1, 2, 4)
        ),
        Question("best_group", "The size of equal groups with the lowest peak.", "blocks"),
        Question(
            "halved_inputs",
            "32 blocks in two checkpoints of 16, each of those again in two, down to one block: how many inputs of "
            "blocks are kept at most, that of the block just computed again among them?",
            "inputs",
        ),
        Question(
            "halved_forwards",
            "In that scheme, how many forward passes of a block does a step need in all?",
            "forward passes of one block",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    BENCHMARKING_SCRIPT,
    NSYS_PROFILE,
    MIXED_PRECISION_ACCUMULATION,
    BENCHMARKING_MIXED_PRECISION,
    MEMORY_PROFILING,
    ACTIVATION_CHECKPOINTING,
    GRADIENT_CHECKPOINTING,
)
