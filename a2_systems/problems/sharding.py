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

FSDP = Exercise(
    id="fsdp",
    title="Everything, shared",
    points=15,
    door=("get_fsdp", "fsdp_on_after_backward", "fsdp_gather_full_params"),
    prerequisites=("ddp_overlap_individual_parameters",),
    budget="about 120 lines; seconds on two CPU ranks",
    figures="equal to training on one process, to rounding",
    small="1 to 4 gloo ranks of a CPU; no GPU is needed for any point",
    why=(
        "Of 16 bytes for each parameter no rank has to keep more than 16/N: so models are trained that fit on no "
        "device. What is kept by mistake, in a list, a closure or the graph, adds up to the whole model again, and the "
        "numbers stay right."
    ),
    hints=(
        "Follow one matrix through a step: who needs it whole, when, and for how long? What of its gradient does each "
        "rank need? What is sent for it, in all?",
        "Cut each leaf's 2-D `weight` by rows, ceil(rows / N) to a rank, and put the shard in its place in the module, "
        "before any optimizer is built. Just before the leaf runs: all-gather, and let it see the whole; just after: "
        "free, and show the shard again.",
        "Autograd saves the whole matrix for the backward pass. Either make it one tensor for all time whose memory "
        "comes and goes (`untyped_storage().resize_`), or replace what is saved by a note "
        "(`torch.autograd.graph.saved_tensors_hooks`), or run the leaf again. In each case the backward pass gathers "
        "again, and a hook or function behind it sends the gradient by `reduce_scatter_tensor`, in float32.",
        "Prefetch: note in which order leaves run. When one begins, its own matrix is waited for, the next one's is "
        "asked for with async_op=True; backwards the same from the other end. Reduce-scatters are asynchronous too: "
        "keep their handles, wait for the oldest when there are more than two, and for all in fsdp_on_after_backward.",
        "Traps: padding the last ranks' rows, and cutting it off again; a cast after the gather in place of before; a "
        "prefetched matrix that nobody takes, which is stale after the step; a matrix that two leaves share; a frozen "
        "one, for which no gradient ever comes to say that it may go; biases and norms, which are averaged; gradients "
        "that add up over two backward passes.",
    ),
    forbidden=(
        "torch.distributed.fsdp.FullyShardedDataParallel",
        "torch.distributed.fsdp.fully_shard",
        "torch.distributed.fsdp.FSDPModule",
        "torch.nn.parallel.DistributedDataParallel",
    ),
    time_limit_seconds=600.0,  # a collective that one rank leaves out is waited for, a minute each time
)

FSDP_ACCOUNTING = Exercise(
    id="fsdp_accounting",
    title="What sharing everything is worth",
    points=5,
    kind="written",
    deliverable="peaks with and without, a trace of gathers beside computation, and 5 numbers in `answers.toml`",
    budget="half an hour on two GPUs, and a profiler",
    figures="xl has 3.41 billion parameters",
    small="the toy model on two ranks of a CPU, bytes counted, and the trace of torch.profiler",
    why=(
        "It sends half as much again as plain data parallelism. Whether that costs anything depends on what it hides "
        "behind, and on nothing else."
    ),
    prerequisites=("fsdp",),
    rubric=(
        "States what was expected to be saved, by parameters, gradients and optimizer state, and measures it: peaks at "
        "the same moments with and without.",
        "Explains what is left of the difference: matrices in use, gradients on their way, activations, which are not "
        "shared.",
        "Shows a trace in which the next layer's all-gather runs beside the products of the one before, in the forward "
        "and in the backward pass, and names the one gather that cannot be hidden.",
        "Compares the time of a layer's gather, by bytes over bandwidth, with that of its products, and says from "
        "which batch on it is hidden.",
    ),
    questions=(
        Question(
            "alone_gigabytes",
            "Parameters, gradients and AdamW's state of xl on each rank of plain data parallelism, all in float32.",
            GIGABYTES,
            tolerance_fraction=0.005,
        ),
        Question(
            "sharded_gigabytes",
            "The same on each of two ranks of FSDP, between steps.",
            GIGABYTES,
            tolerance_fraction=0.005,
        ),
        Question(
            "sent_gigabytes",
            "What each of the two ranks sends in a step on a ring, everything in float32.",
            GIGABYTES,
            tolerance_fraction=0.005,
        ),
        Question(
            "sent_half_gigabytes",
            "The same with a compute_dtype of bfloat16.",
            GIGABYTES,
            tolerance_fraction=0.005,
        ),
        Question(
            "whole_megabytes",
            "The most that whole matrices take at once in the forward pass, in bfloat16: one in use, one on its way.",
            "MB, of 10^6 bytes",
            tolerance_fraction=0.005,
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    OPTIMIZER_STATE_SHARDING,
    OPTIMIZER_STATE_SHARDING_ACCOUNTING,
    FSDP,
    FSDP_ACCOUNTING,
)
