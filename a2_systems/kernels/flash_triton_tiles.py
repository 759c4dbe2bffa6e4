"""What the three flash attention kernels share: tile sizes, loads of a tile, and which tiles a mask touches.

Every mask here (none, causal, documents, both, and the ragged end of a sequence) is the same thing: each query sees an
interval of keys, each key is seen by an interval of queries, and from one position to the next neither end of an
interval ever moves back. So the tiles that a block of rows needs are three runs: tiles cut by the intervals'
beginnings, tiles that every row sees whole (no mask is computed), and tiles cut by the intervals' ends. All others are
skipped.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

INTERPRETED = bool(triton.knobs.runtime.interpret)  # pyright: ignore[reportAttributeAccessIssue]
"""Whether kernels run in Triton's interpreter: TRITON_INTERPRET=1, set before triton is imported."""
IS_INTERPRETED = tl.constexpr(INTERPRETED)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@dataclass(frozen=True)
class Tiles:
    """How one kernel cuts its work; `rows` is the side that a program keeps, `columns` the one that it walks."""

    rows: int
    columns: int
    num_warps: int
    num_stages: int


_SMALL = (
    Tiles(16, 16, 1, 1),
)  # the interpreter's, small enough that tests with tiny lengths walk several tiles

# Head sizes up to 64, 128 and 256. The first of a list whose shared memory the device has is what runs: always the same
# one on the same device. Other tiles add in another order, and a run resumed, or the ranks of one run, must have the
# same bits: nothing is tuned by the clock while a program runs. `make gpu-bench ARGS=--tune` times tiles and prints
# lists to paste here. The last ones fit into the 99 KiB of a consumer card.
# Compiled for sm_90 none spills registers but those marked; in backward at 64 wide, 128x128 spills 512 bytes.
_FORWARD_16_BIT = {
    64: (Tiles(128, 64, 8, 3), Tiles(128, 128, 8, 3), Tiles(64, 64, 4, 3)),
    128: (Tiles(128, 64, 8, 3), Tiles(128, 128, 8, 2), Tiles(64, 32, 4, 2)),
    256: (Tiles(128, 64, 8, 2), Tiles(64, 32, 4, 2), Tiles(32, 32, 4, 1)),  # the first: 28 bytes
}
_BACKWARD_16_BIT = {
    64: (Tiles(128, 64, 8, 3), Tiles(64, 64, 4, 3), Tiles(64, 32, 4, 2)),
    128: (Tiles(128, 32, 8, 3), Tiles(128, 64, 8, 2), Tiles(64, 32, 4, 1)),  # the second: 92 bytes
    256: (Tiles(64, 32, 8, 2), Tiles(32, 16, 4, 1)),  # the first: 196 bytes
}
# Float32 products are exact multiply-adds, not tensor-core tf32: registers and shared memory hold less of them.
_FLOAT32 = {
    64: (Tiles(64, 32, 4, 2), Tiles(32, 32, 4, 2)),
    128: (Tiles(32, 32, 4, 2), Tiles(32, 16, 4, 1)),
    256: (Tiles(32, 16, 8, 1), Tiles(16, 16, 4, 1)),
}


def candidates(kernel: str, head_dim: int, element_bytes: int) -> tuple[Tiles, ...]:
    """The tile sizes of a kernel, "forward" or "backward", for one head size, in the order in which they are tried."""
    if INTERPRETED:
        return _SMALL
    table = _FLOAT32 if element_bytes == 4 else _FORWARD_16_BIT if kernel == "forward" else _BACKWARD_16_BIT
    return next(tiles for widest, tiles in table.items() if head_dim <= widest)


def launch(
    kernel: Any, tiles: tuple[Tiles, ...], length: int, programs_per_block: int, **arguments: Any
) -> None:
    """Run a kernel, one program for each block of `length` rows of each head, with the first tiles that fit the device.

    Raises:
        OutOfResources: not even the last of them fit.
    """
    for number, tile in enumerate(tiles):
        try:
            kernel[(triton.cdiv(length, tile.rows) * programs_per_block,)](
                **arguments,
                ROWS=tile.rows,
                COLUMNS=tile.columns,
                num_warps=tile.num_warps,
                num_stages=tile.num_stages,
            )
            return
        except triton.OutOfResources:  # said before anything runs
            if number == len(tiles) - 1:
                raise


def jit(kernel: Any) -> Any:
    """`triton.jit` of the function itself: a wrapper that checks types has globals of its own, in which the
    interpreter would look for the kernel's names."""
    return triton.jit(inspect.unwrap(kernel))


@jit
def product(left, right, total=None):
    """left @ right, added to `total`, in float32; the interpreter's numpy has no bfloat16: it gets wider numbers."""
    if IS_INTERPRETED:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, total, input_precision="ieee")


@jit
def rounded(tile, dtype: tl.constexpr):
    """The tile in a narrower format, to nearest; the interpreter would cut bfloat16 off: twice the error."""
    if IS_INTERPRETED and dtype == tl.bfloat16:
        bits = tile.to(tl.uint32, bitcast=True)
        tile = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).to(tl.float32, bitcast=True)
    return tile.to(dtype)


@jit
def load_tile(base, strides, first, length, HEIGHT: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr,
              IS_CUT: tl.constexpr):  # fmt: skip
    """Rows `first` to `first + HEIGHT` of one head, zeros where the head is shorter or narrower than the tile."""
    rows = tl.arange(0, HEIGHT)
    columns = tl.arange(0, WIDTH)
    # Offsets inside a tile fit 32 bits; those of a tile in a long sequence do not.
    start = base + first.to(tl.int64) * strides[2]
    pointers = start + rows[:, None] * strides[2] + columns[None, :] * strides[3]
    if IS_CUT:
        if HEAD_DIM < WIDTH:
            return tl.load(
                pointers, mask=(first + rows < length)[:, None] & (columns < HEAD_DIM)[None, :], other=0.0
            )
        return tl.load(pointers, mask=(first + rows < length)[:, None], other=0.0)
    if HEAD_DIM < WIDTH:
        return tl.load(pointers, mask=(columns < HEAD_DIM)[None, :], other=0.0)
    return tl.load(pointers)


@jit
def store_tile(
    base, strides, first, length, tile, HEIGHT: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr
):
    """The inverse of `load_tile`."""
    rows = tl.arange(0, HEIGHT)
    columns = tl.arange(0, WIDTH)
    start = base + first.to(tl.int64) * strides[2]
    pointers = start + rows[:, None] * strides[2] + columns[None, :] * strides[3]
    inside = (first + rows < length)[:, None] & (columns < HEAD_DIM)[None, :]
    tl.store(pointers, rounded(tile, base.dtype.element_ty), mask=inside)


@jit
def head_of(base, strides, batch, head):
    """Where the rows of one head begin."""
    return base + batch.to(tl.int64) * strides[0] + head.to(tl.int64) * strides[1]


@jit
def keys_of_queries(bounds, batch, batches, queries, q_len, k_len, IS_CAUSAL: tl.constexpr,
                    HAS_DOCUMENTS: tl.constexpr):  # fmt: skip
    """The interval [begin, end) of keys that each query sees; queries behind the last count as the last."""
    positions = tl.minimum(queries, q_len - 1) + (k_len - q_len)
    begin = positions * 0
    end = begin + k_len
    if HAS_DOCUMENTS:
        begin = tl.load(bounds + batch.to(tl.int64) * k_len + positions)
        end = tl.load(bounds + (batches + batch).to(tl.int64) * k_len + positions)
    if IS_CAUSAL:
        end = tl.minimum(end, positions + 1)
    return begin, end


@jit
def queries_of_keys(
    bounds, batch, batches, keys, q_len, k_len, IS_CAUSAL: tl.constexpr, HAS_DOCUMENTS: tl.constexpr
):
    """The interval [begin, end) of queries that see each key; keys behind the last count as the last."""
    offset = k_len - q_len
    positions = tl.minimum(keys, k_len - 1)
    begin = positions * 0
    end = begin + q_len
    if HAS_DOCUMENTS:
        begin = tl.maximum(tl.load(bounds + batch.to(tl.int64) * k_len + positions) - offset, 0)
        end = tl.maximum(tl.load(bounds + (batches + batch).to(tl.int64) * k_len + positions) - offset, 0)
    if IS_CAUSAL:
        begin = tl.maximum(positions - offset, 0)
    return begin, end


@jit
def runs_of_tiles(first_begin, last_begin, first_end, last_end, COLUMNS: tl.constexpr):
    """Where the three runs of tiles begin and end, from the intervals of a block's first and last row."""
    start = first_begin // COLUMNS * COLUMNS
    whole = tl.cdiv(last_begin, COLUMNS) * COLUMNS
    cut = tl.maximum(whole, first_end // COLUMNS * COLUMNS)
    return start, whole, cut, last_end


@jit
def block_of_queries(bounds, batches, heads, q_len, k_len, IS_CAUSAL: tl.constexpr, HAS_DOCUMENTS: tl.constexpr,
                     ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # fmt: skip
    """Which block of queries this program has, where its numbers lie in L and D, and the tiles of keys that it needs.

    `begin` and `end` bound the keys of each query; `start`, `whole`, `cut`, `stop` the runs of tiles of all of them.
    """
    blocks = tl.cdiv(q_len, ROWS)
    program = tl.program_id(0)
    batch, head = program // blocks // heads, program // blocks % heads
    # Late queries see the most keys under a causal mask: the longest programs start first.
    first = (blocks - 1 - program % blocks) * ROWS
    last = tl.minimum(first + ROWS, q_len) - 1
    row = (program // blocks).to(tl.int64) * q_len
    begin, end = keys_of_queries(
        bounds, batch, batches, first + tl.arange(0, ROWS), q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS
    )
    first_begin, first_end = keys_of_queries(
        bounds, batch, batches, first, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS
    )
    last_begin, last_end = keys_of_queries(
        bounds, batch, batches, last, q_len, k_len, IS_CAUSAL, HAS_DOCUMENTS
    )
    start, whole, cut, stop = runs_of_tiles(first_begin, last_begin, first_end, last_end, COLUMNS)
    return batch, head, first, row, begin, end, start, whole, cut, stop
