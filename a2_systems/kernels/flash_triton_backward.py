"""The two backward kernels of FlashAttention-2: one walks over keys for dQ, one over queries for dK and dV.

Both compute the weights again, P = exp(scores - L), and dS = P * (dP - D) with dP = dO V^T and D = rowsum(O * dO).
Each output tile belongs to one program, which adds up in a fixed order: no atomics, the same bits in every run. The
price is two more products per tile than one kernel with atomic additions needs.

Source: [flash2-2023] algorithm 2.
"""

import triton.language as tl

from a2_systems.kernels.flash_triton_tiles import (
    LOG2_E,
    block_of_queries,
    head_of,
    jit,
    load_tile,
    product,
    queries_of_keys,
    rounded,
    runs_of_tiles,
    store_tile,
)


@jit
def _query_gradient_tiles(
    gradient, query_tile, output_gradient_tile, log2_sums, D, key_head, value_head, k_strides, v_strides, first_tile,
    end_tile, k_len, begin, end, scale, COLUMNS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr,
    IS_CUT: tl.constexpr,
):  # fmt: skip
    """Add dS K over one run of tiles."""
    for first_key in range(first_tile, end_tile, COLUMNS):
        first_key = tl.multiple_of(first_key, COLUMNS)
        key_tile = load_tile(key_head, k_strides, first_key, k_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT)
        value_tile = load_tile(value_head, v_strides, first_key, k_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT)
        scores = product(query_tile, tl.trans(key_tile)) * (scale * LOG2_E)
        if IS_CUT:
            keys = first_key + tl.arange(0, COLUMNS)
            is_seen = (keys[None, :] >= begin[:, None]) & (keys[None, :] < end[:, None])
            scores = tl.where(is_seen, scores, float("-inf"))
        weights = tl.math.exp2(scores - log2_sums[:, None])
        weight_gradient = product(output_gradient_tile, tl.trans(value_tile))
        score_gradient = weights * (weight_gradient - D[:, None])
        gradient = product(rounded(score_gradient, key_tile.dtype), key_tile, gradient)
    return gradient


@jit
def query_gradient_kernel(
    Q, K, V, O, dO, L, D, dQ, bounds, q_strides, k_strides, v_strides, o_strides, do_strides, dq_strides,
    batches, heads, group, q_len, k_len, scale,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, IS_CAUSAL: tl.constexpr, HAS_DOCUMENTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """dQ, and D (batch * heads, q_len) for the kernel that follows."""
    batch, head, first_query, row, begin, end, start, whole, cut, stop = block_of_queries(
        bounds, batches, heads, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS, ROWS, COLUMNS
    )
    queries = first_query + tl.arange(0, ROWS)
    query_tile = load_tile(head_of(Q, q_strides, batch, head), q_strides, first_query, q_len, ROWS, HEAD_DIM, WIDTH,
                           True)  # fmt: skip
    output_tile = load_tile(head_of(O, o_strides, batch, head), o_strides, first_query, q_len, ROWS, HEAD_DIM, WIDTH,
                            True)  # fmt: skip
    output_gradient_tile = load_tile(head_of(dO, do_strides, batch, head), do_strides, first_query, q_len, ROWS,
                                     HEAD_DIM, WIDTH, True)  # fmt: skip
    row_sums = tl.sum(output_tile.to(tl.float32) * output_gradient_tile.to(tl.float32), 1)
    tl.store(D + row + queries, row_sums, mask=queries < q_len)
    log2_sums = tl.load(L + row + queries, mask=queries < q_len, other=0.0) * LOG2_E

    key_head = head_of(K, k_strides, batch, head // group)
    value_head = head_of(V, v_strides, batch, head // group)
    gradient = tl.zeros([ROWS, WIDTH], tl.float32)
    if HAS_DOCUMENTS:
        gradient = _query_gradient_tiles(
            gradient, query_tile, output_gradient_tile, log2_sums, row_sums, key_head, value_head, k_strides, v_strides,
            start, tl.minimum(whole, stop), k_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, True,
        )  # fmt: skip
    gradient = _query_gradient_tiles(
        gradient, query_tile, output_gradient_tile, log2_sums, row_sums, key_head, value_head, k_strides, v_strides,
        whole, cut, k_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, False,
    )  # fmt: skip
    gradient = _query_gradient_tiles(
        gradient, query_tile, output_gradient_tile, log2_sums, row_sums, key_head, value_head, k_strides, v_strides,
        cut, stop, k_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, True,
    )  # fmt: skip
    gradient_head = head_of(dQ, dq_strides, batch, head)
    store_tile(gradient_head, dq_strides, first_query, q_len, gradient * scale, ROWS, HEAD_DIM, WIDTH)


@jit
def _key_value_gradient_tiles(
    key_gradient, value_gradient, key_tile, value_tile, query_head, output_gradient_head, L_row, D_row, q_strides,
    do_strides, first_tile, end_tile, q_len, begin, end, scale, COLUMNS: tl.constexpr, HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr, IS_CUT: tl.constexpr,
):  # fmt: skip
    """Add dS^T Q and P^T dO over one run of tiles; scores stand transposed, a key to a row."""
    for first_query in range(first_tile, end_tile, COLUMNS):
        first_query = tl.multiple_of(first_query, COLUMNS)
        queries = first_query + tl.arange(0, COLUMNS)
        query_tile = load_tile(query_head, q_strides, first_query, q_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT)
        output_gradient_tile = load_tile(
            output_gradient_head, do_strides, first_query, q_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT
        )
        if IS_CUT:
            log2_sums = tl.load(L_row + queries, mask=queries < q_len, other=0.0) * LOG2_E
            row_sums = tl.load(D_row + queries, mask=queries < q_len, other=0.0)
        else:
            log2_sums = tl.load(L_row + queries) * LOG2_E
            row_sums = tl.load(D_row + queries)
        scores = product(key_tile, tl.trans(query_tile)) * (scale * LOG2_E)
        if IS_CUT:
            is_seen = (queries[None, :] >= begin[:, None]) & (queries[None, :] < end[:, None])
            scores = tl.where(is_seen, scores, float("-inf"))
        weights = tl.math.exp2(scores - log2_sums[None, :])
        value_gradient = product(
            rounded(weights, output_gradient_tile.dtype), output_gradient_tile, value_gradient
        )
        weight_gradient = product(value_tile, tl.trans(output_gradient_tile))
        score_gradient = weights * (weight_gradient - row_sums[None, :])
        key_gradient = product(rounded(score_gradient, query_tile.dtype), query_tile, key_gradient)
    return key_gradient, value_gradient


@jit
def key_value_gradient_kernel(
    Q, K, V, dO, L, D, dK, dV, bounds, q_strides, k_strides, v_strides, do_strides, dk_strides, dv_strides,
    batches, heads, group, q_len, k_len, scale,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, IS_CAUSAL: tl.constexpr, HAS_DOCUMENTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """dK and dV of a block of keys, summed over the query heads that share them, one after another in one program.

    So grouped-query attention has fewer, longer programs here: heads / group for each block. Spread over programs, the
    partial sums of a group would have to be written, `group` times the memory of dK and dV, and added once more.
    """
    blocks = tl.cdiv(k_len, ROWS)
    kv_heads = heads // group
    program = tl.program_id(0)
    batch, kv_head = program // blocks // kv_heads, program // blocks % kv_heads
    first_key = program % blocks * ROWS  # early keys are seen by the most queries: again the longest first
    keys = first_key + tl.arange(0, ROWS)
    last_key = tl.minimum(first_key + ROWS, k_len) - 1

    begin, end = queries_of_keys(bounds, batch, batches, keys, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS)
    first_begin, first_end = queries_of_keys(
        bounds, batch, batches, first_key, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS
    )
    last_begin, last_end = queries_of_keys(
        bounds, batch, batches, last_key, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS
    )
    start, whole, cut, stop = runs_of_tiles(first_begin, last_begin, first_end, last_end, COLUMNS)

    key_tile = load_tile(head_of(K, k_strides, batch, kv_head), k_strides, first_key, k_len, ROWS, HEAD_DIM, WIDTH,
                         True)  # fmt: skip
    value_tile = load_tile(head_of(V, v_strides, batch, kv_head), v_strides, first_key, k_len, ROWS, HEAD_DIM, WIDTH,
                           True)  # fmt: skip
    key_gradient = tl.zeros([ROWS, WIDTH], tl.float32)
    value_gradient = tl.zeros([ROWS, WIDTH], tl.float32)
    for member in range(0, group):
        head = kv_head * group + member
        query_head = head_of(Q, q_strides, batch, head)
        output_gradient_head = head_of(dO, do_strides, batch, head)
        row = (batch * heads + head).to(tl.int64) * q_len
        if IS_CAUSAL or HAS_DOCUMENTS:
            key_gradient, value_gradient = _key_value_gradient_tiles(
                key_gradient, value_gradient, key_tile, value_tile, query_head, output_gradient_head, L + row, D + row,
                q_strides, do_strides, start, tl.minimum(whole, stop), q_len, begin, end, scale,
                COLUMNS, HEAD_DIM, WIDTH, True,
            )  # fmt: skip
        key_gradient, value_gradient = _key_value_gradient_tiles(
            key_gradient, value_gradient, key_tile, value_tile, query_head, output_gradient_head, L + row, D + row,
            q_strides, do_strides, whole, cut, q_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, False,
        )  # fmt: skip
        key_gradient, value_gradient = _key_value_gradient_tiles(
            key_gradient, value_gradient, key_tile, value_tile, query_head, output_gradient_head, L + row, D + row,
            q_strides, do_strides, cut, stop, q_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, True,
        )  # fmt: skip
    store_tile(head_of(dK, dk_strides, batch, kv_head), dk_strides, first_key, k_len, key_gradient * scale, ROWS,
               HEAD_DIM, WIDTH)  # fmt: skip
    store_tile(head_of(dV, dv_strides, batch, kv_head), dv_strides, first_key, k_len, value_gradient, ROWS, HEAD_DIM,
               WIDTH)  # fmt: skip
