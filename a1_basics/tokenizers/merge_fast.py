"""Merge one pre-token, earliest learned pair first: by scanning its ranks when it is short, through a heap when long.

So no word takes more than n log n. Kernels find what they work on as addresses in one array, `tables`: numba hands
arrays from function to function at the price of several look-ups each.
"""

import numpy as np
from numba import int64, njit, uint64

from a1_basics.tokenizers.memory import load8, load32, load64, store16, store32

UNKNOWN_BYTE = -2
LONGEST_SCANNED_BYTES = 128
BYTE_IDS, BYTE_RANKS, PAIRS, PAIRS_MASK, MADE, SYMBOLS, RANKS, SHORT, LONG, ARENA, USED, KEYS = range(12)
NEVER = np.uint64(0xFFFF_FFFF)  # the rank of what is not merged, the id of a byte that has none

_MIX = np.uint64(0x9E3779B97F4A7C15)
_0, _1, _2, _3, _8 = (np.uint64(n) for n in (0, 1, 2, 3, 8))


@njit(nogil=True, cache=True, forceinline=True)
def table(tables, which):
    """The address of a table."""
    return load64(tables + uint64(8 * which))


@njit(nogil=True, cache=True, forceinline=True)
def _rank(left, right, tables):
    """The rank of a pair of ids, from a table of (left, right, rank) packed into a word."""
    key = (left << uint64(21) | right) + _1
    pairs, mask = table(tables, PAIRS), table(tables, PAIRS_MASK)
    slot = (key * _MIX) >> uint64(40)
    while True:
        found = load64(pairs + ((slot & mask) << _3))
        if found >> uint64(22) == key:
            return found & uint64(0x3FFFFF)
        if found == _0:
            return NEVER
        slot += _1


@njit(nogil=True, cache=True)
def fill_pairs(merges, pairs):
    """Put rows (left, right) of merges into the table that `_rank` reads; of equal pairs the first counts."""
    mask = uint64(pairs.shape[0] - 1)
    for rank in range(merges.shape[0]):
        key = (uint64(merges[rank, 0]) << uint64(21) | uint64(merges[rank, 1])) + _1
        slot = (key * _MIX) >> uint64(40)
        while pairs[slot & mask] and pairs[slot & mask] >> uint64(22) != key:
            slot += _1
        if pairs[slot & mask] == _0:
            pairs[slot & mask] = key << uint64(22) | uint64(rank)


@njit(nogil=True, cache=True)
def _merge_by_scan(start, length, tables):
    """Merge a short word, the lowest rank first, into the symbols; how many are left, or UNKNOWN_BYTE."""
    symbols, ranks = table(tables, SYMBOLS), table(tables, RANKS)
    byte_ids, byte_ranks, made = table(tables, BYTE_IDS), table(tables, BYTE_RANKS), table(tables, MADE)
    before = _0
    for i in range(length):
        byte = uint64(load8(start + i))
        symbol = load32(byte_ids + (byte << _2))
        if symbol == NEVER:
            return UNKNOWN_BYTE
        store32(symbols + (i << _2), symbol)
        if i:
            store32(ranks + ((i - _1) << _2), load32(byte_ranks + ((before << _8 | byte) << _2)))
        before = byte
    count = length
    while count > _1:
        lowest, at = NEVER, _0
        for i in range(count - _1):
            rank = load32(ranks + (i << _2))
            if rank < lowest:
                lowest, at = rank, i
        if lowest == NEVER:
            break
        count -= _1
        new = load32(made + (lowest << _2))
        for i in range(at + _1, count):
            store32(symbols + (i << _2), load32(symbols + ((i + _1) << _2)))
            store32(ranks + ((i - _1) << _2), load32(ranks + (i << _2)))
        store32(symbols + (at << _2), new)
        if at:
            store32(ranks + ((at - _1) << _2), _rank(load32(symbols + ((at - _1) << _2)), new, tables))
        if at + _1 < count:
            store32(ranks + (at << _2), _rank(new, load32(symbols + ((at + _1) << _2)), tables))
    return int64(count)


@njit(nogil=True, cache=True)
def _push(heap, size, key):
    """Put a key into a heap of so many; the new size."""
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return size + 1


@njit(nogil=True, cache=True)
def _merge_by_heap(start, length, tables, symbols):
    """Merge a long word into an array in n log n; how many symbols are left, or UNKNOWN_BYTE.

    The heap holds (rank, place), so that equal ranks come up from the left; an entry whose place no longer holds a
    pair of its rank is skipped. `following[i]` is the place of the next symbol, -1 once symbol i is merged away.
    """
    following, preceding = np.arange(1, length + 1), np.arange(-1, length - 1)
    heap = np.empty(3 * length, dtype=np.uint64)
    size = 0
    for i in range(length):
        symbols[i] = load32(table(tables, BYTE_IDS) + (uint64(load8(start + uint64(i))) << _2))
        if symbols[i] == NEVER:
            return UNKNOWN_BYTE
    for i in range(length - 1):
        rank = _rank(uint64(symbols[i]), uint64(symbols[i + 1]), tables)
        if rank != NEVER:
            size = _push(heap, size, rank << uint64(40) | uint64(i))
    while size:
        top = heap[0]
        size -= 1
        last, at = heap[size], 0
        while 2 * at + 1 < size:
            below = 2 * at + 1
            if below + 1 < size and heap[below + 1] < heap[below]:
                below += 1
            if heap[below] >= last:
                break
            heap[at] = heap[below]
            at = below
        heap[at] = last
        rank, place = top >> uint64(40), int64(top & uint64(0xFF_FFFF_FFFF))
        after = following[place]
        if (
            after < 0
            or after >= length
            or _rank(uint64(symbols[place]), uint64(symbols[after]), tables) != rank
        ):
            continue
        symbols[place] = load32(table(tables, MADE) + (rank << _2))
        beyond, before = following[after], preceding[place]
        following[place], following[after] = beyond, -1
        if beyond < length:
            preceding[beyond] = place
            rank = _rank(uint64(symbols[place]), uint64(symbols[beyond]), tables)
            if rank != NEVER:
                size = _push(heap, size, rank << uint64(40) | uint64(place))
        if before >= 0:
            rank = _rank(uint64(symbols[before]), uint64(symbols[place]), tables)
            if rank != NEVER:
                size = _push(heap, size, rank << uint64(40) | uint64(before))
    count, at = 0, 0
    while at < length:
        symbols[count] = symbols[at]
        count += 1
        at = following[at]
    return count


@njit(nogil=True, cache=True)
def _write(ids, count, out, id_shift):
    """Write the ids that stand at one address, four bytes each, to another, two or four bytes each."""
    for i in range(uint64(count)):
        if id_shift == _1:
            store16(out + (i << _1), load32(ids + (i << _2)))
        else:
            store32(out + (i << _2), load32(ids + (i << _2)))


@njit(nogil=True, cache=True)
def merge(start, length, out, id_shift, tables):
    """Write the ids of a word that no cache holds; how many, or UNKNOWN_BYTE."""
    if length <= uint64(LONGEST_SCANNED_BYTES):
        count = _merge_by_scan(start, length, tables)
        _write(table(tables, SYMBOLS), count if count > 0 else 0, out, id_shift)
    else:
        symbols = np.empty(int64(length) + 1, dtype=np.uint32)
        count = _merge_by_heap(start, int64(length), tables, symbols)
        _write(uint64(symbols.ctypes.data), count if count > 0 else 0, out, id_shift)
    return count
