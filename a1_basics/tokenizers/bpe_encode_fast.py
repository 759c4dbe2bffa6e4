"""Encoding at the speed of memory: a cache of pre-tokens, filled by merging those that it lacks.

Text is split by `split_simd`. A pre-token of up to 15 bytes is its own key: two machine words with its length on top.
`short` holds such pre-tokens in rows of 32 bytes, key and ids together, two rows to a cache line, so that a look-up
costs one line of memory; and lines are asked for 64 pre-tokens ahead. A hit writes all 16 bytes of ids at once and
steps forward by as many as there are. Longer pre-tokens stand in `long` by their hash, with their bytes in an arena.

What is in neither is merged by `merge_fast`. Caches are bounded: a row is replaced when its line is full, and
everything is forgotten when the arena is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numba import int64, njit, uint64

from a1_basics.tokenizers.count_fast import SHORT_BYTES, long_hash, same_bytes, short_hash, short_key
from a1_basics.tokenizers.memory import copy16, load8, load64, prefetch, store8, store16, store32, store64
from a1_basics.tokenizers.merge_fast import (
    ARENA,
    BYTE_IDS,
    BYTE_RANKS,
    KEYS,
    LONG,
    LONGEST_SCANNED_BYTES,
    MADE,
    NEVER,
    PAIRS,
    PAIRS_MASK,
    RANKS,
    SHORT,
    SYMBOLS,
    UNKNOWN_BYTE,
    USED,
    fill_pairs,
    merge,
    table,
)
from a1_basics.tokenizers.split_scalar import INVALID_UTF8, character_classes, character_ends
from a1_basics.tokenizers.split_simd import BATCH_BYTES, NUM_CARRIED, SLACK_STARTS, split_simd

MAX_IDS = 1 << 21  # ids and ranks share a machine word: 21 + 21 + 22 bits
SLACK_IDS = 16  # a cached word writes all the ids that there is room for

_SHORT_LINES = 1 << 17
_LONG_ROWS = 1 << 15
_LONGEST_CACHED_BYTES = 256
_ARENA_BYTES = 1 << 23
_AHEAD = 64
_MANY_STARTS = 1 << 11  # enough words to be encoded in one go
_ELSEWHERE = np.uint64(0xFFFF)  # in place of a number of bytes: the ids stand in the arena
_0, _1, _3, _8 = (np.uint64(n) for n in (0, 1, 3, 8))


@njit(nogil=True, cache=True, forceinline=True)
def _copy(source, target, num_bytes):
    """Copy bytes sixteen at a time, so up to fifteen more than asked for."""
    for i in range(_0, num_bytes, uint64(16)):
        copy16(source + i, target + i)


@njit(nogil=True, cache=True)
def _room_in_arena(num_bytes, tables):
    """Where so many bytes may be kept in the arena; all caches are emptied when that is full."""
    place = table(tables, USED)
    if place + num_bytes + uint64(80) > uint64(_ARENA_BYTES):
        for i in range(uint64(8 * _SHORT_LINES)):
            store64(table(tables, SHORT) + (i << _3), _0)
        for i in range(uint64(4 * _LONG_ROWS)):
            store64(table(tables, LONG) + (i << _3), _0)
        place = _0
    store64(tables + uint64(8 * USED), place + num_bytes)
    return place


@njit(nogil=True, cache=True)
def _encode_new(start, low, high, line, out, id_shift, tables):
    """Merge a short word that the cache lacks, write its ids to `out` and keep them; how many, or UNKNOWN_BYTE."""
    count = merge(start, high >> uint64(56), out, id_shift, tables)
    if count < 0:
        return count
    num_bytes = uint64(count) << id_shift
    is_long = num_bytes > uint64(16) - (_1 << id_shift)
    place = _room_in_arena(num_bytes, tables) if is_long else _0
    if load64(line + _8):  # the word that stood first moves to the second row, over what stood there
        _copy(line, line + uint64(32), uint64(32))
    store64(line, low)
    store64(line + _8, high)
    if is_long:
        _copy(out, table(tables, ARENA) + place, num_bytes)
        store64(line + uint64(16), place | num_bytes << uint64(32))
        store64(line + uint64(24), _ELSEWHERE << uint64(48 if id_shift == _1 else 32))
    else:
        _copy(out, line + uint64(16), uint64(16))
        if id_shift == _1:
            store16(line + uint64(30), num_bytes)
        else:
            store32(line + uint64(28), num_bytes)
    return count


@njit(nogil=True, cache=True)
def _encode_long(start, length, out, id_shift, tables):
    """Write the ids of a long word, from the cache if they are there; how many, or UNKNOWN_BYTE.

    A row of `long` is hash, offset in the arena of the bytes and then the ids, length and count.
    """
    if length > uint64(_LONGEST_CACHED_BYTES):
        return merge(start, length, out, id_shift, tables)
    mixed = long_hash(start, length)
    row = table(tables, LONG) + ((mixed >> uint64(40) & uint64(_LONG_ROWS - 1)) << uint64(5))
    arena = table(tables, ARENA)
    kept = load64(row + uint64(16))
    if load64(row) == mixed and kept >> uint64(32) == length:
        place = arena + load64(row + _8)
        if same_bytes(place, start, length):
            count = kept & uint64(0xFFFFFFFF)
            _copy(place + length, out, count << id_shift)
            return int64(count)
    count = merge(start, length, out, id_shift, tables)
    if count < 0:
        return count
    num_bytes = uint64(count) << id_shift
    place = _room_in_arena(length + num_bytes, tables)
    for i in range(length):  # a long word may end where its memory does: no copy of sixteen bytes
        store8(arena + place + i, uint64(load8(start + i)))
    _copy(out, arena + place + length, num_bytes)
    store64(row, mixed)
    store64(row + _8, place)
    store64(row + uint64(16), length << uint64(32) | uint64(count))
    return count


@njit(nogil=True, cache=True, forceinline=True)
def _make_keys(starts, many, limit, keys, short):
    """Rows (key, key, line of the cache) for so many words; the lines are on their way from memory."""
    start = load64(starts)
    for i in range(many):
        after = load64(starts + _8 + (i << _3))
        length = after - start
        if length <= uint64(SHORT_BYTES):
            low, high = short_key(start, length, limit)
            line = short + ((short_hash(low, high) >> uint64(20) & uint64(_SHORT_LINES - 1)) << uint64(6))
            prefetch(line)
        else:
            low, high, line = _0, length, short  # a key that no row has
        store64(keys, low)
        store64(keys + _8, high)
        store64(keys + uint64(16), line)
        keys += uint64(24)
        start = after


@njit(nogil=True, cache=True, forceinline=True)
def _write_hits(key, last_key, starts, arena, out, id_shift):
    """Write the ids of words up to one that the short cache lacks; its key, its start, and where ids end."""
    bytes_shift = uint64(48 if id_shift == _1 else 32)
    while key != last_key:
        low, high, line = load64(key), load64(key + _8), load64(key + uint64(16))
        # Without a branch: which of the two rows holds a word is as good as random.
        is_second = ((load64(line + uint64(32)) ^ low) | (load64(line + uint64(40)) ^ high)) == _0
        row = line + (uint64(is_second) << uint64(5))
        if (load64(row) ^ low) | (load64(row + _8) ^ high):
            break
        num_bytes = load64(row + uint64(24)) >> bytes_shift
        if num_bytes == _ELSEWHERE:
            ids = load64(row + uint64(16))
            place, num_bytes = arena + (ids & uint64(0xFFFFFFFF)), ids >> uint64(32)
            _copy(place, out, uint64(32))
            if id_shift != _1:
                _copy(place + uint64(32), out + uint64(32), uint64(32))
        else:
            copy16(row + uint64(16), out)
        store64(starts, out)
        out += num_bytes
        starts += _8
        key += uint64(24)
    return key, starts, out


@njit(nogil=True, cache=True)
def encode_words(starts, num_starts, limit, out, id_shift, tables):
    """Encode the words between neighbouring starts, the last of which only ends a word; where their ids end.

    `starts` is the address of so many addresses. Each is replaced by the place of its word's ids. `limit` is where
    readable memory ends, and an id takes `1 << id_shift` bytes. Where a byte has no id zero is returned, and the first
    start is that of its word.
    """
    short, arena, keys = table(tables, SHORT), table(tables, ARENA), table(tables, KEYS)
    first = starts
    last = starts + (uint64(num_starts) - _1) * _8
    while starts < last:
        many = min(uint64(_AHEAD), (last - starts) >> _3)
        _make_keys(starts, many, limit, keys, short)
        key, last_key = keys, keys + many * uint64(24)
        while True:
            key, starts, out = _write_hits(key, last_key, starts, arena, out, id_shift)
            if key == last_key:
                break
            word, low, high = load64(starts), load64(key), load64(key + _8)
            if high >> uint64(56):
                count = _encode_new(word, low, high, load64(key + uint64(16)), out, id_shift, tables)
            else:
                count = _encode_long(word, high, out, id_shift, tables)
            if count < 0:
                store64(first, word)
                return _0
            store64(starts, out)
            out += uint64(count) << id_shift
            starts += _8
            key += uint64(24)
    store64(last, out)
    return out


@njit(nogil=True, cache=True)
def _encode_waiting(pieces, first, after, ends, starts, num_starts, limit, out, id_shift, tables):
    """Encode the words that wait, and turn the ends of pieces `first` to `after` from numbers of starts into places.

    Returns where the ids end. Where a byte has no id, that is zero, and `ends[0]` the number of the piece.
    """
    out = encode_words(uint64(starts.ctypes.data), num_starts, limit, out, id_shift, tables)
    if out == _0:
        ends[0] = 0
        while uint64(pieces[ends[0], 1]) <= starts[0]:
            ends[0] += 1
    else:
        for piece in range(first, after):
            ends[piece] = int64(starts[ends[piece]])
    return out


@njit(nogil=True, cache=True)
def encode_pieces(pieces, ends, out, id_shift, classes, starts, tables):
    """Split and encode pieces of text, rows (begin, end, id that follows or -1), in order and from one buffer.

    `ends` gets the number of ids up to the end of each piece. INVALID_UTF8 or UNKNOWN_BYTE is returned for a piece
    that cannot be encoded, and its number put into `ends[0]`; else 0.
    """
    num_pieces = pieces.shape[0]
    limit = uint64(pieces[num_pieces - 1, 1]) if num_pieces else _0
    first_out = out
    carried = np.empty(NUM_CARRIED, dtype=np.uint64)
    # The words of many short pieces wait to be encoded together; `first` is the first piece whose end waits with them.
    num_starts, first = 0, 0
    for piece in range(num_pieces):
        at, end, follows = uint64(pieces[piece, 0]), uint64(pieces[piece, 1]), pieces[piece, 2]
        carried[:] = 0
        while at < end:
            num_starts = split_simd(at, end, limit, classes, carried, starts, num_starts)
            if num_starts < 0:
                ends[0] = piece
                return INVALID_UTF8
            at += uint64(BATCH_BYTES)
            if at < end and num_starts > _MANY_STARTS:
                open_start = starts[num_starts - 1]
                out = _encode_waiting(
                    pieces, first, piece, ends, starts, num_starts, limit, out, id_shift, tables
                )
                if out == _0:
                    return UNKNOWN_BYTE
                starts[0] = open_start
                num_starts, first = 1, piece
        ends[piece] = num_starts
        goes_on = follows < 0 and piece + 1 < num_pieces and uint64(pieces[piece + 1, 0]) == end
        if goes_on and num_starts <= _MANY_STARTS:
            continue
        starts[num_starts] = end
        out = _encode_waiting(
            pieces, first, piece + 1, ends, starts, num_starts + 1, limit, out, id_shift, tables
        )
        if out == _0:
            return UNKNOWN_BYTE
        num_starts, first = 0, piece + 1
        if follows >= 0:
            if id_shift == _1:
                store16(out, uint64(follows))
            else:
                store32(out, uint64(follows))
            out += _1 << id_shift
            ends[piece] = int64(out)
    for piece in range(num_pieces):
        ends[piece] = int64((uint64(ends[piece]) - first_out) >> id_shift)
    return 0


class Merger:
    """Byte-pair encoding of pre-tokens, whoever splits them.

    `ids` names the id of every token and `merges` the pairs in order of rank. `encode_pieces` takes text and splits it
    by GPT-2's pattern; `encode_pretokens` takes what another splitter made:

        merger.encode_pretokens([b"any", b" words"])  ->  the ids of both, end to end

    It is not safe in several threads at once: the cache changes as it is read.
    """

    class Unencodable(Exception):
        """Names the piece that cannot be encoded."""

        def __init__(self, piece: int) -> None:
            super().__init__(f"piece {piece}")
            self.piece = piece

    def __init__(self, ids: Mapping[bytes, int], merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.dtype = np.dtype(np.uint16 if max(ids.values(), default=0) < 1 << 16 else np.uint32)
        self._id_shift = np.uint64(self.dtype.itemsize >> 1)
        rows = np.array([(ids[left], ids[right]) for left, right in merges], dtype=np.int64).reshape(-1, 2)
        pairs = np.zeros(1 << max(4, (2 * len(merges)).bit_length()), dtype=np.uint64)
        fill_pairs(rows, pairs)
        byte_ids = np.array([ids.get(bytes([byte]), NEVER) for byte in range(256)], dtype=np.uint32)
        byte_ranks = np.full(1 << 16, NEVER, dtype=np.uint32)
        for rank in range(len(merges) - 1, -1, -1):
            left, right = merges[rank]
            if len(left) == len(right) == 1:
                byte_ranks[left[0] << 8 | right[0]] = rank
        self._arrays = {
            BYTE_IDS: byte_ids,
            BYTE_RANKS: byte_ranks,
            PAIRS: pairs,
            MADE: np.array([ids[left + right] for left, right in merges] or [0], dtype=np.uint32),
            SYMBOLS: np.empty(_LONGEST_CACHED_BYTES, dtype=np.uint32),
            RANKS: np.empty(LONGEST_SCANNED_BYTES, dtype=np.uint32),
            KEYS: np.empty((_AHEAD, 3), dtype=np.uint64),
        }
        self._unknown_bytes = {byte for byte in range(256) if byte_ids[byte] == NEVER}
        self._seeds = [
            word for word in ids if 0 < len(word) <= SHORT_BYTES and self._unknown_bytes.isdisjoint(word)
        ]
        self._starts = np.empty(_MANY_STARTS + BATCH_BYTES + 2 + SLACK_STARTS, dtype=np.uint64)
        self.forget()

    def forget(self) -> None:
        """Empty the cache, but for the vocabulary itself."""
        lines = np.zeros(8 * _SHORT_LINES + 8, dtype=np.uint64)
        skipped = -(lines.ctypes.data // 8) % 8  # to the beginning of a cache line
        self._arrays[SHORT] = lines[skipped : skipped + 8 * _SHORT_LINES]
        self._arrays[LONG] = np.zeros((_LONG_ROWS, 4), dtype=np.uint64)
        self._arrays[ARENA] = np.empty(_ARENA_BYTES, dtype=np.uint8)
        self._tables = np.zeros(len(self._arrays) + 2, dtype=np.uint64)
        for which, array in self._arrays.items():
            self._tables[which] = array.ctypes.data
        self._tables[PAIRS_MASK] = len(self._arrays[PAIRS]) - 1
        self._tables_address = np.uint64(self._tables.ctypes.data)
        self.encode_pretokens(self._seeds)

    def __getstate__(self) -> dict[str, object]:
        """Addresses mean nothing in another process: there, the cache begins anew."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_tables")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self.forget()

    def encode_pretokens(self, words: Sequence[bytes]) -> np.ndarray:
        """The ids of some pre-tokens, none of them empty, end to end.

        Raises:
            KeyError: a byte has no id.
        """
        data = np.frombuffer(b"".join(words), dtype=np.uint8)
        starts = np.zeros(len(words) + 1, dtype=np.uint64)
        np.cumsum(np.fromiter(map(len, words), dtype=np.uint64, count=len(words)), out=starts[1:])
        starts += np.uint64(data.ctypes.data)
        ids = np.empty(len(data) + SLACK_IDS, dtype=self.dtype)
        begin, first = np.uint64(ids.ctypes.data), np.uint64(starts.ctypes.data)
        end = encode_words(first, len(starts), starts[-1], begin, self._id_shift, self._tables_address)
        if end == 0:
            raise KeyError(
                next(bytes([byte]) for word in words for byte in word if byte in self._unknown_bytes)
            )
        return ids[: (int(end) - int(begin)) // ids.itemsize]

    @staticmethod
    def count_bytes(ends: np.ndarray, address: int) -> None:
        """Turn the ends of texts, in UTF-8 and end to end from an address on, from characters into bytes."""
        character_ends(np.uint64(address), ends)

    def encode_pieces(self, pieces: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Split and encode pieces of text into `out`; the number of ids up to the end of each piece.

        Pieces are rows (address of the first byte, address after the last, id to append or -1), in order and from one
        buffer. `out` has this merger's dtype, and room for one id per byte, one per piece and SLACK_IDS more.

        Raises:
            Unencodable: a piece is not UTF-8, or holds a byte that has no id.
        """
        ends = np.zeros(len(pieces), dtype=np.int64)
        begin, classes = np.uint64(out.ctypes.data), character_classes()
        if (
            encode_pieces(pieces, ends, begin, self._id_shift, classes, self._starts, self._tables_address)
            < 0
        ):
            raise self.Unencodable(int(ends[0]))
        return ends
