"""The problems of stage 2: optimizer state and parameters spread over the ranks."""

from shared.doors.exercise import Exercise, Question

GIGABYTES = "GB, of 10^9 bytes"

OPTIMIZER_STATE_SHARDING = Exercise(
    id="optimizer_state_sharding",
    title="Optimizer state, shared",
    points=15,
    door=("get_sharded_optimizer",),
    budget="about 60 lines; no training",
    why=(
        "Of 16 bytes that training needs for each parameter in float32, 8 are AdamW's moments, and all ranks hold the "
        "same ones. Sharing them is free, but for a wrong optimizer that trains on, on its own copy of the settings."
    ),
    hints=(
        "Give each parameter an owner, by a rule that every rank can work out by itself. Who updates it? Who needs to "
        "hear of that, and when?",
        "Subclass torch.optim.Optimizer. The outer groups list all parameters, so that zero_grad and schedulers work; "
        "an inner optimizer_cls gets groups with the owned ones alone. super().__init__ calls your add_param_group, so "
        "what that uses must be there before.",
        "Largest first, each to the rank with the fewest elements so far. A rank may own nothing of a group: a group "
        "with an empty list of parameters is allowed.",
        "step: copy every setting but 'params' from the outer groups to the inner ones; inner.step; then, for every "
        "parameter, dist.broadcast(parameter.data, src=owner). All ranks go through the parameters in the same order.",
        "Traps: a scheduler looks for lr in the outer groups also when the caller gave none: take over the inner "
        "group's defaults; params is a generator; the moments live in the inner state, so state_dict() and "
        "load_state_dict() have to pass them on; call the closure once, on every rank, and return its loss.",
    ),
    forbidden=("torch.distributed.optim.ZeroRedundancyOptimizer",),
)

OPTIMIZER_STATE_SHARDING_ACCOUNTING = Exercise(
    id="optimizer_state_sharding_accounting",
    title="What sharing the state is worth",
    points=5,
    kind="written",
    deliverable="peaks at three moments, step times, a comparison, and 3 numbers in `answers.toml`",
    budget="a quarter of an hour on two GPUs",
    figures="xl has 3.41 billion parameters",
    small="the toy model on two ranks of a CPU, state counted to the byte",
    why="Memory that is saved where there was no peak is not saved: know which moment is the fullest, and of what.",
    prerequisites=("optimizer_state_sharding",),
    rubric=(
        "Gives peak memory after building, before the step and after it, with and without sharing, and splits each "
        "into parameters, gradients, optimizer state and the rest.",
        "Shows that the state on each rank is halved, and nothing else.",
        "Gives step times with and without, and says what the difference is spent on.",
        "Names what ZeRO's first stage does otherwise: gradients reduced only to their owner, updated parameters "
        "gathered, and so no more bytes than an all-reduce.",
    ),
    questions=(
        Question("state_gigabytes", "AdamW's state for xl, not shared.", GIGABYTES, tolerance_fraction=0.005),
        Question(
            "shared_state_gigabytes", "The same on each of two ranks.", GIGABYTES, tolerance_fraction=0.005
        ),
        Question(
            "received_gigabytes",
            "What one of two ranks receives in a step of parameters that the other updated.",
            GIGABYTES,
            tolerance_fraction=0.005,
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (OPTIMIZER_STATE_SHARDING, OPTIMIZER_STATE_SHARDING_ACCOUNTING)
