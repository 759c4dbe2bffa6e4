"""The problems of stage 2: attention by tiles.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from shared.doors.exercise import Exercise

# What torch has ready-made, from the kernel outwards, and the operators below it.
FUSED_ATTENTION = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.MultiheadAttention",
    "torch.nn.attention.flex_attention.flex_attention",
    "torch._scaled_dot_product_attention_math",
    "torch._native_multi_head_attention",
    "torch._fused_sdp_choice",
    "torch.ops.aten.scaled_dot_product_attention",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward",
    "torch.ops.aten._scaled_dot_product_attention_math",
    "torch.ops.aten._scaled_dot_product_flash_attention",
    "torch.ops.aten._scaled_dot_product_efficient_attention",
    "torch.ops.aten._scaled_dot_product_cudnn_attention",
    "flash_attn.flash_attn_func",
)

PYTORCH_ATTENTION = Exercise(
    id="pytorch_attention",
    title="What plain attention costs",
    points=2,
    kind="written",
    deliverable="a table of times and bytes, the sum behind one row, and a paragraph",
    budget="half an hour of one GPU: batch 8, head_dim 16 to 128, lengths 256 to 16,384, 100 passes each way",
    figures="the saved matrix of weights is batch * length^2 * 4 bytes: 8.6 GB at batch 8, length 16,384",
    small="batch 8, head_dim 16 and 64, lengths 128 to 2,048, 10 passes each way: a minute on two cores",
    why="The kernel of the next problems is worth its trouble only where this table says so.",
    rubric=(
        "Gives times of forward and backward and the bytes held before backward for every pair of width and length, "
        "and says where memory ended.",
        "States how it was timed: warm-up, waiting for the device, number of passes, spread.",
        "Adds up by hand, tensor by tensor, the bytes of one row near the end, and compares with what was measured.",
        "Says how the bytes saved for backward grow with the length, and what would remove that growth.",
    ),
)

TORCH_COMPILE = Exercise(
    id="torch_compile",
    title="What a compiler makes of it",
    points=2,
    kind="written",
    deliverable="the table above with a compiled column, a table of a whole model, and a paragraph",
    budget="half an hour of one GPU",
    figures="fused elementwise steps, and the same quadratic memory: the compiler finds no online softmax",
    small="length 1,024 of the table and the toy's model: two minutes on two cores, most of it compiling",
    why="Fusion by a compiler is free, so a kernel written by hand has to beat that, not the plain code.",
    rubric=(
        "Compares plain and compiled attention, forward and backward, on the same rows as pytorch_attention.",
        "Compares a whole model, plain and compiled: forward, and forward with backward and optimizer.",
        "Keeps compile time apart, and says when the same function is compiled again.",
        "Says which operations were fused, which were not, and what that did to the bytes held before backward.",
    ),
)

FLASH_FORWARD = Exercise(
    id="flash_forward",
    title="FlashAttention, forward",
    points=15,
    door=(
        "get_flashattention_autograd_function_pytorch",
        "get_flashattention_autograd_function_triton",
    ),
    budget="about 40 lines in torch, 70 as a Triton kernel; no GPU needed",
    why=(
        "Attention is slow because its matrix of scores goes to memory and comes back three times. Computed by tiles "
        "it never exists: lengths of 100,000 fit, and what was limited by memory is limited by arithmetic."
    ),
    hints=(
        "Start in numpy with one query: read the keys in two halves, and find the softmax of the whole from what you "
        "kept of the first half. You need the largest score so far, the sum of exponentials so far and the mixed "
        "values so far.",
        "When a tile brings a larger maximum, all that was summed is too large by the same factor: multiply sum and "
        "mixture by exp(old maximum - new maximum). Start with maximum -inf, sum 0, mixture 0; divide by the sum once, "
        "at the end. logsumexp = maximum + log(sum).",
        "Two loops in torch: tiles of queries outside, tiles of keys inside; each tile of scores, (..., B_q, B_k), is "
        "gone after its turn. ctx.save_for_backward(Q, K, V, O, L). The last tiles are shorter: slices do that by "
        "themselves.",
        "In Triton the outer loop is the grid: one program for each (tile of queries, batch element), the inner loop "
        "is in the kernel. Offsets are stride_b * batch + stride_t * row + stride_d * column; loads and stores take "
        "mask=row < length. Accumulators are tl.float32; tl.dot(p.to(v.dtype), v, acc=acc).",
        "Causal: query i sees key j when j <= i + (k_len - q_len). The kernel leaves out tiles with no such pair; put "
        "-inf into the scores of the others before the maximum is taken. Keys beyond the end of a ragged last tile "
        "get -inf too, causal or not.",
        "Traps: 1/8 as the scale; padding keys that count with score 0; a maximum of -inf minus -inf; accumulators in "
        "bfloat16; strides of a contiguous tensor taken for granted; L of shape (..., q_len, 1); is_causal that is not "
        "tl.constexpr; a kernel that asks for tensors on cuda, where here it may be interpreted on the CPU.",
    ),
    forbidden=FUSED_ATTENTION,
    time_limit_seconds=240.0,  # Triton's interpreter runs a program at a time, in Python
)

FLASH_BACKWARD = Exercise(
    id="flash_backward",
    title="FlashAttention, backward",
    points=5,
    door=(
        "get_flashattention_autograd_function_pytorch",
        "get_flashattention_autograd_function_triton",
    ),
    prerequisites=("flash_forward",),
    budget="about 30 lines; no GPU needed",
    why=(
        "What is not saved has to be computed again, and that is faster than reading it. A backward pass that differs "
        "from its forward pass (a mask, a scale) still trains, towards something else."
    ),
    hints=(
        "Derive the softmax's gradient on paper: for a row with weights p and incoming gradient g, dS = p * (g - sum(p "
        "* g)). That sum over keys is all that needs a whole row.",
        "sum over keys of p * g, with g = dO V^T, is the inner product of the row of O with the row of dO: D = (O * "
        "dO).sum(-1). It is known before any tile is.",
        "P = exp(S - L) gives the weights without maximum or sum. Then dV = P^T dO, dP = dO V^T, dS = P * (dP - D), dQ "
        "= dS K * scale, dK = dS^T Q * scale.",
        "By tiles: dQ adds up over tiles of keys, dK and dV over tiles of queries. Add in float32, and give each "
        "gradient the dtype of its tensor. Return (dQ, dK, dV, None).",
        "Traps: the causal mask forgotten, and so is the scale of dK; D from P * P; dO is often expanded, not "
        "contiguous, so a kernel given its pointer reads one number for all; gradients added up in bfloat16.",
    ),
    forbidden=FUSED_ATTENTION,
    time_limit_seconds=240.0,
)

FLASH_BENCHMARKING = Exercise(
    id="flash_benchmarking",
    title="Where the kernel wins",
    points=5,
    kind="written",
    deliverable="a table of forward, backward and both, for kernel and plain attention, and a paragraph",
    budget="an hour of one GPU: batch 1, causal, lengths 128 to 65,536, head_dim 16 to 128, bfloat16 and float32",
    figures="plain attention stops at the memory's end; below some 512 tokens the launch is all one sees",
    small="your tiles in torch beside plain attention, batch 1, causal, head_dim 64, lengths 128 to 4,096, float32",
    why="A kernel is a claim about a machine: the table says from which length on it is true.",
    rubric=(
        "Gives all three times for both, at every length that fits, in milliseconds, with the tile sizes used.",
        "Converts at least one row into FLOP/s, and says what fraction of the machine's peak that is.",
        "Gives peak memory of both beside the times, and the length at which plain attention no longer fits.",
        "Explains the short lengths and the ratio of backward to forward, not only the winner.",
        "On a CPU: says which of the two effects (less memory traffic, skipped tiles) is seen, and how that was told.",
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    PYTORCH_ATTENTION,
    TORCH_COMPILE,
    FLASH_FORWARD,
    FLASH_BACKWARD,
    FLASH_BENCHMARKING,
)
