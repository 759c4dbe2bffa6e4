"""Count pre-tokens at the speed of memory.

`WordCounts` holds each different pre-token once. One of up to 15 bytes is its own key, two machine words with its
length on top; a longer one lies in an arena under a hash. Text passes by, so memory follows the number of different
words.
"""

import numpy as np
from numba import int64, njit, uint64

from a1_basics.tokenizers.memory import load8, load64, prefetch, store64
from a1_basics.tokenizers.split_scalar import INVALID_UTF8, character_classes
from a1_basics.tokenizers.split_simd import BATCH_BYTES, NUM_CARRIED, SLACK_STARTS, split_simd

SHORT_BYTES = 15  # longer words have no key of their own
DONE, FULL = 0, 1
SHORT, LONG, ARENA = range(3)  # what `used` counts: short words, long words, bytes of long words
AT, PENDING = range(2)  # where counting stopped in a text, and whether a word is open there

_AHEAD = 64  # words whose rows are on their way from memory at once
_MIX_LOW, _MIX_HIGH, _MIX_MORE = (
    np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
)
_LOW = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], dtype=np.uint64)
_HIGH = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], dtype=np.uint64)


@njit(nogil=True, cache=True, forceinline=True)
def short_key(start, length, limit):
    """The two words that stand for the `length` bytes at `start`, of a text that ends at `limit`."""
    if start + uint64(16) <= limit:
        low = load64(start) & _LOW[length]
        high = load64(start + uint64(8)) & _HIGH[length]
    else:
        low, high = uint64(0), uint64(0)
        for i in range(length):
            byte = uint64(load8(start + i))
            if i < uint64(8):
                low |= byte << (i << uint64(3))
            else:
                high |= byte << (i - uint64(8) << uint64(3))
    return low, high | length << uint64(56)


@njit(nogil=True, cache=True, forceinline=True)
def short_hash(low, high):
    """64 bits of which the upper ones are the best."""
    mixed = low * _MIX_LOW ^ high * _MIX_HIGH
    return (mixed ^ mixed >> uint64(32)) * _MIX_MORE


@njit(nogil=True, cache=True)
def long_hash(start, length):
    """64 bits of a word of eight bytes or more, of which the upper ones are the best."""
    mixed = uint64(length)
    last = start + uint64(length) - uint64(8)
    while start < last:
        mixed = (mixed ^ load64(start)) * _MIX_LOW
        mixed ^= mixed >> uint64(32)
        start += uint64(8)
    mixed = (mixed ^ load64(last)) * _MIX_LOW
    return (mixed ^ mixed >> uint64(32)) * _MIX_MORE


@njit(nogil=True, cache=True)
def same_bytes(first, second, length):
    """Whether `length` bytes, eight or more, are equal at two addresses."""
    done = uint64(0)
    last = uint64(length) - uint64(8)
    while done < last:
        if load64(first + done) != load64(second + done):
            return False
        done += uint64(8)
    return load64(first + last) == load64(second + last)


@njit(nogil=True, cache=True, forceinline=True)
def _add_short(low, high, count, row, base, limit):
    """Count a short word whose search begins at address `row` of a table; 1 when it is new.

    A row is key, key, count, unused: half a cache line.
    """
    while True:
        found = load64(row + uint64(8))
        if found == high and load64(row) == low:
            store64(row + uint64(16), load64(row + uint64(16)) + count)
            return 0
        if found == uint64(0):
            store64(row, low)
            store64(row + uint64(8), high)
            store64(row + uint64(16), count)
            return 1
        row += uint64(32)
        if row == limit:
            row = base


@njit(nogil=True, cache=True)
def _add_long(start, length, count, table, arena, free):
    """Count a long word; the bytes of the arena that it takes, 0 when it is known.

    A row of the table is hash, address in the arena, length, count.
    """
    mask = uint64(table.shape[0] - 1)
    mixed = long_hash(start, length)
    slot = mixed >> uint64(20) & mask
    while table[slot, 3]:
        is_alike = table[slot, 0] == mixed and table[slot, 2] == uint64(length)
        if is_alike and same_bytes(uint64(arena.ctypes.data) + table[slot, 1], start, length):
            table[slot, 3] += count
            return 0
        slot = (slot + uint64(1)) & mask
    table[slot, 0], table[slot, 1] = mixed, uint64(free)
    table[slot, 2], table[slot, 3] = uint64(length), count
    for i in range(length):
        arena[free + i] = load8(start + uint64(i))
    return length


@njit(nogil=True, cache=True)
def count_text(end, classes, starts, resume, carried, short, long, arena, used):
    """Count the pre-tokens of a text from `resume[AT]` to `end`.

    Keys are made, and their rows asked for, some time before these are needed. Returns DONE; FULL when a table or the
    arena has to grow before it can go on; or INVALID_UTF8.
    """
    at = resume[AT]
    base, mask = uint64(short.ctypes.data), uint64(short.shape[0] - 1)
    limit = base + uint64(short.size * 8)
    lows, highs, rows = (
        np.empty(_AHEAD, np.uint64),
        np.empty(_AHEAD, np.uint64),
        np.empty(_AHEAD, np.uint64),
    )
    while at < end:
        open_bytes = int64(at - starts[0]) if resume[PENDING] else 0
        if (
            2 * (used[SHORT] + BATCH_BYTES) > short.shape[0]
            or 2 * (used[LONG] + BATCH_BYTES // SHORT_BYTES) > long.shape[0]
            or used[ARENA] + open_bytes + BATCH_BYTES > arena.shape[0]
        ):
            return FULL
        num_starts = split_simd(at, end, end, classes, carried, starts, int64(resume[PENDING]))
        if num_starts < 0:
            return INVALID_UTF8
        at += uint64(BATCH_BYTES)
        if at >= end:
            starts[num_starts] = end
            num_starts += 1
        start = starts[0]
        first = 1
        while first < num_starts:
            after_last = min(first + _AHEAD, num_starts)
            num_keys = uint64(0)
            for i in range(first, after_last):
                after = starts[i]
                length = after - start
                if length <= uint64(SHORT_BYTES):
                    low, high = short_key(start, length, end)
                    row = base + ((short_hash(low, high) >> uint64(20) & mask) << uint64(5))
                    prefetch(row)
                    lows[num_keys], highs[num_keys], rows[num_keys] = low, high, row
                    num_keys += uint64(1)
                else:
                    taken = _add_long(start, int64(length), uint64(1), long, arena, used[ARENA])
                    used[ARENA] += taken
                    used[LONG] += taken > 0
                start = after
            for i in range(num_keys):
                used[SHORT] += _add_short(lows[i], highs[i], uint64(1), rows[i], base, limit)
            first = after_last
        starts[0] = start
        resume[AT], resume[PENDING] = at, uint64(1)
    return DONE


@njit(nogil=True, cache=True)
def add_tables(from_short, from_long, from_arena, short, long, arena, used):
    """Add the counts of one set of tables to another that is large enough."""
    base, mask = uint64(short.ctypes.data), uint64(short.shape[0] - 1)
    limit = base + uint64(short.size * 8)
    for i in range(from_short.shape[0]):
        low, high = from_short[i, 0], from_short[i, 1]
        if high:
            row = base + ((short_hash(low, high) >> uint64(20) & mask) << uint64(5))
            used[SHORT] += _add_short(low, high, from_short[i, 2], row, base, limit)
    for i in range(from_long.shape[0]):
        if from_long[i, 3]:
            start = uint64(from_arena.ctypes.data) + from_long[i, 1]
            taken = _add_long(start, int64(from_long[i, 2]), from_long[i, 3], long, arena, used[ARENA])
            used[ARENA] += taken
            used[LONG] += taken > 0


class WordCounts:
    """How often each different word occurs in the texts that were counted."""

    def __init__(self) -> None:
        self._resize(1 << 16, 1 << 13, 1 << 18)
        self._starts = np.empty(BATCH_BYTES + 2 + SLACK_STARTS, dtype=np.uint64)

    def _resize(self, num_short: int, num_long: int, arena_bytes: int) -> None:
        self.short = np.zeros((num_short, 4), dtype=np.uint64)
        self.long = np.zeros((num_long, 4), dtype=np.uint64)
        self.arena = np.empty(arena_bytes, dtype=np.uint8)
        self.used = np.zeros(3, dtype=np.int64)

    def _reserve(self, more_short: int, more_long: int, more_bytes: int) -> None:
        """Make room for so many more words; the counts stay."""
        wanted = self.used + np.array([more_short, more_long, more_bytes])
        have = (len(self.short), len(self.long), len(self.arena))
        sizes = [1 << (2 * int(n)).bit_length() for n in wanted]
        old = self.short, self.long, self.arena
        self._resize(*(max(size, had) for size, had in zip(sizes, have, strict=True)))
        add_tables(*old, self.short, self.long, self.arena, self.used)

    def add(self, text: np.ndarray, begin: int, end: int) -> bool:
        """Count the words of bytes `begin` to `end` of an array; False when they are not UTF-8."""
        base, classes = text.ctypes.data, character_classes()
        resume = np.array([base + begin, 0], dtype=np.uint64)
        carried = np.zeros(NUM_CARRIED, dtype=np.uint64)
        while True:
            tables = self.short, self.long, self.arena, self.used
            state = count_text(np.uint64(base + end), classes, self._starts, resume, carried, *tables)
            if state != FULL:
                return state == DONE
            open_bytes = int(resume[AT]) - int(self._starts[0]) if resume[PENDING] else 0
            self._reserve(2 * BATCH_BYTES, BATCH_BYTES, open_bytes + 2 * BATCH_BYTES)

    def merge(self, other: "WordCounts") -> None:
        """Add the counts of another."""
        self._reserve(*map(int, other.used))
        add_tables(other.short, other.long, other.arena, self.short, self.long, self.arena, self.used)

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The bytes of all words with one zero before and after each, where each word begins, and the counts."""
        short = self.short[self.short[:, 1] != 0]
        long = self.long[self.long[:, 3] != 0]
        num_bytes = int((short[:, 1] >> np.uint64(56)).sum()) + int(self.used[ARENA])
        num_words = len(short) + len(long)
        text = np.zeros(num_bytes + num_words + 1, dtype=np.uint8)
        places = np.empty(num_words, dtype=np.int64)
        write_words(short, long, self.arena, text, places)
        return text, places, np.concatenate((short[:, 2], long[:, 3])).astype(np.int64)


@njit(nogil=True, cache=True)
def write_words(short, long, arena, text, places):
    """Lay the words of the two tables end to end."""
    at = 1
    number = 0
    for row in short:
        places[number] = at
        for i in range(int64(row[1] >> uint64(56))):
            text[at] = (row[0] >> uint64(8 * i) if i < 8 else row[1] >> uint64(8 * (i - 8))) & uint64(0xFF)
            at += 1
        at += 1
        number += 1
    for row in long:
        places[number] = at
        for i in range(int64(row[1]), int64(row[1] + row[2])):
            text[at] = arena[i]
            at += 1
        at += 1
        number += 1
