"""The problems of stage 2: the same weights on every rank."""

from shared.doors.exercise import Exercise, Question

LIBRARY = (
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
    "torch.distributed._composable.replicate",
)
COLLECTIVES = tuple(
    f"torch.distributed.{name}"
    for name in (
        *("all_reduce", "all_reduce_coalesced", "reduce", "reduce_scatter", "reduce_scatter_tensor"),
        *("all_gather", "all_gather_into_tensor", "all_gather_object", "gather", "gather_object"),
        *("broadcast", "broadcast_object_list", "scatter", "all_to_all", "all_to_all_single"),
    )
)

DISTRIBUTED_COMMUNICATION = Exercise(
    id="distributed_communication_single_node",
    title="What an all-reduce costs",
    points=5,
    kind="written",
    deliverable="a table or figure of times over sizes and ranks, and a paragraph",
    budget="under 5 min for each setting, on up to 6 GPUs of one machine",
    small="2 to 4 gloo ranks on a CPU, 10 kB to 10 MB: under a minute",
    why="Whoever knows latency and bandwidth of a machine can say before a run what its gradients will cost.",
    rubric=(
        "Times all-reduces of at least four sizes a factor of ten apart, on at least two numbers of ranks, after a "
        "warm-up, and on a GPU with the device synchronized.",
        "Says which sizes are limited by latency and which by bandwidth, and reads both off the data.",
        "Compares the growth with the number of ranks to 2 (N - 1) / N, and explains where it departs.",
    ),
)

ALTERNATE_RING = Exercise(
    id="alternate_ring_all_reduce",
    title="A ring that passes everything on",
    points=1,
    kind="numeric",
    deliverable="2 numbers in `answers.toml`",
    budget="ten minutes with paper",
    why="Two ways to sum over a ring differ by a factor that grows with the number of devices.",
    hints=(
        "Follow one device: in a round it sends one message and receives one. How long is a message, and how many "
        "rounds are there until it has seen what everybody started with?",
        "Every message is a whole tensor, and the last of the others' tensors arrives after N - 1 rounds.",
    ),
    questions=(
        Question(
            "whole_ring_milliseconds",
            "8 devices in a ring, each with a tensor of 1 GB (10^9 bytes). In each round every device passes on, "
            "whole, the tensor that it received last, and adds it to its sum. Links carry 50 GB/s in each direction, "
            "latency is nothing. When does everybody have the sum?",
            "milliseconds",
            tolerance_fraction=0.005,
        ),
        Question(
            "chunked_ring_milliseconds",
            "The same tensors over the same links by a reduce-scatter and an all-gather of chunks.",
            "milliseconds",
            tolerance_fraction=0.005,
        ),
    ),
)

RING_ALL_REDUCE = Exercise(
    id="ring_all_reduce",
    title="An all-reduce by hand",
    points=4,
    door=("run_ring_all_reduce",),
    budget="about 20 lines; no training",
    why=(
        "Every gradient of every large model goes through this. It sends two tensors per device however many devices "
        "there are, and that is why data parallelism grows at all."
    ),
    hints=(
        "Three ranks, three chunks, on paper: rank 0 holds a0 b0 c0, and so on. In each round everybody sends one "
        "chunk to the right and receives one from the left.",
        "First half, N - 1 rounds: add the chunk that arrives to your own, and send that sum in the next round. After "
        "it each rank has one chunk whole. Second half, N - 1 rounds: send the chunk that is whole, keep the one that "
        "arrives, send that.",
        "In round k of the first half rank r sends chunk r - k and receives chunk r - k - 1, modulo N. Views of "
        "the flat tensor (`tensor.view(-1).tensor_split(N)`) make all of it happen in place; lengths may differ.",
        "Traps: if all ranks send before they receive, a send that waits for its receiver stops the ring: start "
        "both with isend and irecv and wait for both; a buffer may not be changed before its send is done; `reshape` "
        "may copy; some chunks are empty when there are fewer numbers than ranks; one rank has no neighbour.",
    ),
    forbidden=COLLECTIVES,
    time_limit_seconds=600.0,
)

NAIVE = Exercise(
    id="naive_ddp",
    title="Data parallelism after the backward pass",
    points=5,
    door=("get_naive_ddp", "naive_ddp_on_after_backward"),
    budget="about 30 lines; seconds on two CPU ranks",
    figures="equal to training on one process, to rounding",
    why=(
        "The first way to train on more than one device, and the one that all others are compared with. Nearly every "
        "mistake in it still trains, only to a worse model, or to a different one on every rank."
    ),
    hints=(
        "Two ranks, one weight, gradients 1 and 3. On one process over both batches the gradient of the mean loss is "
        "2. What must each rank do to have it?",
        "Before training every rank takes over rank 0's weights: broadcast parameters (frozen ones too) and buffers. "
        "After backward: all-reduce the sum of each gradient, divide by the world size.",
        "A rank whose batch did not use a layer has `.grad` None there. It still has to take part in that all-reduce, "
        "with zeros, or the others wait for ever, or pair it with the next parameter.",
        "Traps: a literal 2; `forward(self, x)`, which drops keywords; broadcasting parameters() and not buffers(); "
        "dividing before the wait; giving a rank that sent zeros no gradient.",
    ),
    forbidden=LIBRARY,
    time_limit_seconds=600.0,  # a collective that one rank leaves out is waited for, a minute each time
)

OVERLAP = Exercise(
    id="ddp_overlap_individual_parameters",
    title="Gradients that leave during the backward pass",
    points=5,
    door=("get_ddp", "ddp_on_after_backward"),
    budget="about 50 lines; seconds on two CPU ranks",
    prerequisites=("naive_ddp",),
    figures="equal to training on one process, to rounding",
    why=(
        "Half of a step can be waiting for gradients. Sent as soon as they are there they travel while the rest is "
        "computed, and most of the waiting is gone."
    ),
    hints=(
        "Which gradient is ready first, and how much of backward is then still to do?",
        "`parameter.register_post_accumulate_grad_hook(f)` calls f(parameter) inside backward, once the gradient is "
        "whole. `dist.all_reduce(tensor, async_op=True)` returns a handle at once; wait for it after backward, and "
        "divide then.",
        "All ranks must send in the same order, whatever their batches used. Fix it: the reverse of parameters(). A "
        "gradient that is ready waits until all before it have left; after backward the rest leaves, zeros for what "
        "is missing.",
        "Accumulation: a second backward pass adds to `.grad` while it is on its way. Either send copies, or let what "
        "is under way arrive before the next forward pass. A mean that is averaged again stays what it is; a sum does "
        "not, so divide before anything is added.",
        "Traps: an all-reduce without async_op in the hook; handles that are never waited for; dividing in the hook; "
        "a tied weight hooked twice; sending in the order in which gradients come.",
    ),
    forbidden=LIBRARY,
    time_limit_seconds=600.0,  # a collective that one rank leaves out is waited for, a minute each time
)

BUCKETED = Exercise(
    id="ddp_overlap_bucketed",
    title="Gradients that leave in buckets",
    points=8,
    door=("get_ddp_bucketed", "ddp_bucketed_on_after_backward", "ddp_bucketed_on_train_batch_start"),
    budget="about 70 lines; seconds on two CPU ranks",
    prerequisites=("ddp_overlap_individual_parameters",),
    figures="equal to training on one process, to rounding",
    why=(
        "A model has hundreds of small parameters, and each message costs a latency. Buckets pay it a few times, and "
        "still leave during backward; this is what the library's class does."
    ),
    hints=(
        "Between one message for each parameter and one for all: what does each cost, and what can it hide?",
        "Walk over the parameters from the last to the first and open a new bucket where the next one would not fit. "
        "Count the gradients that have come in each; when all are there, lay them end to end and send them.",
        "Buckets leave in one order on all ranks: the first that is not full holds back those behind it, until "
        "backward is over. Then everything leaves, with zeros for missing gradients.",
        "After the wait, divide, and write each piece back to its `.grad` with its shape.",
        "Traps: counts that are not set back for the next step; a parameter larger than a bucket; parameters of "
        "different dtypes in one bucket; a size in MB taken for bytes; buckets in the order of parameters(), which are "
        "full only at the end of backward.",
    ),
    forbidden=LIBRARY,
    time_limit_seconds=600.0,  # a collective that one rank leaves out is waited for, a minute each time
)

NAIVE_BENCHMARKING = Exercise(
    id="naive_ddp_benchmarking",
    title="How much of a step is communication",
    points=3,
    kind="written",
    deliverable="step time, the share of communication in it, and how both were measured",
    budget="minutes on 2 GPUs of one machine, for the size xl",
    small="2 gloo ranks on a CPU with the toy's model: a minute",
    why="Before anything is hidden, one should know how much there is to hide.",
    rubric=(
        "States model, batch, devices and warm-up; gives the time of a step and that of the gradients' all-reduces.",
        "Compares the share with bytes of gradients over the bandwidth that was measured before.",
        "Says what would change the share: batch size, precision, number of ranks.",
    ),
)

FLAT_BENCHMARKING = Exercise(
    id="minimal_ddp_flat_benchmarking",
    title="One message in place of hundreds",
    points=2,
    kind="written",
    deliverable="the same measurement with one flattened message, and two sentences",
    budget="minutes on the same machine",
    small="as before, on 2 gloo ranks",
    why="The bytes are the same, so the difference is what latency costs, and copies.",
    rubric=(
        "Compares both in the same setting, in turn, with their spread.",
        "Explains the difference by the number of messages and their latency, and names the cost of the copy.",
    ),
)

OVERLAP_BENCHMARKING = Exercise(
    id="ddp_overlap_individual_parameters_benchmarking",
    title="What overlapping brings",
    points=1,
    kind="written",
    deliverable="step times, and two traces: one in which communication is hidden, one in which it is not",
    budget="minutes on the same machine, and a profiler",
    small="2 gloo ranks, and the trace of torch.profiler",
    why="The proof of overlap is a picture in which two things happen at once.",
    rubric=(
        "Compares step times with those of both plain versions in the same setting.",
        "Shows both traces, with the all-reduces beside the backward pass in one and after it in the other.",
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    DISTRIBUTED_COMMUNICATION,
    ALTERNATE_RING,
    RING_ALL_REDUCE,
    NAIVE,
    NAIVE_BENCHMARKING,
    FLAT_BENCHMARKING,
    OVERLAP,
    OVERLAP_BENCHMARKING,
    BUCKETED,
)
