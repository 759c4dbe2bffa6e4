"""The forward kernel of FlashAttention-2: one program for a block of queries of one head.

The program keeps its queries and walks over the keys. Per row it carries the largest score so far, the sum of
exponentials below it and the sum of values weighted by them; a larger maximum rescales both sums. Exponentials are
powers of two, which the hardware has. Scores stay as the product gave them: their factor, scale * log2(e), is applied
to the largest one of a row, and to each within the subtraction, which is then a single multiply-add.
"""

import triton.language as tl

from a2_systems.kernels.flash_triton_tiles import (
    LN_2,
    LOG2_E,
    block_of_queries,
    head_of,
    jit,
    load_tile,
    product,
    rounded,
    store_tile,
)


@jit
def _attend_tiles(
    read, sums, largest, query_tile, key_head, value_head, k_strides, v_strides, first_tile, end_tile, k_len,
    begin, end, scale, COLUMNS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, IS_CUT: tl.constexpr,
):  # fmt: skip
    """Read one run of tiles; `begin` and `end` bound the keys of each row where a mask cuts them.

    `largest` is in units of log2: the largest score of each row times scale * log2(e).
    """
    for first_key in range(first_tile, end_tile, COLUMNS):
        first_key = tl.multiple_of(first_key, COLUMNS)
        key_tile = load_tile(key_head, k_strides, first_key, k_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT)
        scores = product(query_tile, tl.trans(key_tile))
        if IS_CUT:
            keys = first_key + tl.arange(0, COLUMNS)
            is_seen = (keys[None, :] >= begin[:, None]) & (keys[None, :] < end[:, None])
            scores = tl.where(is_seen, scores, float("-inf"))
        new_largest = tl.maximum(largest, tl.max(scores, 1) * (scale * LOG2_E))
        reference = new_largest
        if IS_CUT:  # a row that has seen no key yet: -inf minus -inf would be no number
            reference = tl.where(new_largest == float("-inf"), 0.0, new_largest)
        weights = tl.math.exp2(scores * (scale * LOG2_E) - reference[:, None])
        shrink = tl.math.exp2(largest - reference)
        sums = sums * shrink + tl.sum(weights, 1)
        value_tile = load_tile(value_head, v_strides, first_key, k_len, COLUMNS, HEAD_DIM, WIDTH, IS_CUT)
        read = read * shrink[:, None]
        read = product(rounded(weights, value_tile.dtype), value_tile, read)
        largest = new_largest
    return read, sums, largest


@jit
def forward_kernel(
    Q, K, V, O, L, bounds, q_strides, k_strides, v_strides, o_strides, batches, heads, group, q_len, k_len, scale,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, IS_CAUSAL: tl.constexpr, HAS_DOCUMENTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """O and the natural log-sum-exp L (batch * heads, q_len), for `group` query heads to each key head."""
    batch, head, first_query, row, begin, end, start, whole, cut, stop = block_of_queries(
        bounds, batches, heads, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS, ROWS, COLUMNS
    )
    queries = first_query + tl.arange(0, ROWS)
    query_tile = load_tile(head_of(Q, q_strides, batch, head), q_strides, first_query, q_len, ROWS, HEAD_DIM, WIDTH,
                           True)  # fmt: skip
    key_head = head_of(K, k_strides, batch, head // group)
    value_head = head_of(V, v_strides, batch, head // group)
    read = tl.zeros([ROWS, WIDTH], tl.float32)
    sums = tl.zeros([ROWS], tl.float32)
    largest = tl.full([ROWS], float("-inf"), tl.float32)
    if HAS_DOCUMENTS:
        read, sums, largest = _attend_tiles(
            read, sums, largest, query_tile, key_head, value_head, k_strides, v_strides, start,
            tl.minimum(whole, stop), k_len, begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, True,
        )  # fmt: skip
    read, sums, largest = _attend_tiles(
        read, sums, largest, query_tile, key_head, value_head, k_strides, v_strides, whole, cut, k_len,
        begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, False,
    )  # fmt: skip
    read, sums, largest = _attend_tiles(
        read, sums, largest, query_tile, key_head, value_head, k_strides, v_strides, cut, stop, k_len,
        begin, end, scale, COLUMNS, HEAD_DIM, WIDTH, True,
    )  # fmt: skip

    output_head = head_of(O, o_strides, batch, head)
    store_tile(output_head, o_strides, first_query, q_len, read / sums[:, None], ROWS, HEAD_DIM, WIDTH)
    log_sum_exp = (largest + tl.math.log2(sums)) * LN_2
    tl.store(L + row + queries, log_sum_exp, mask=queries < q_len)
