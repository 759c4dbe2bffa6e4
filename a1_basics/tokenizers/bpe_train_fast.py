"""Learn merges at the speed of memory: the same as `bpe.train_bpe`.

All different words lie end to end as cells, one for each byte. A symbol of n bytes writes its id into the first and
the last of its cells, so the symbol to the right of cell i begins at i + n, and the one to the left ends at i - 1: no
links to follow or mend. What a merge changes is found by these rules.

- Every place of a pair comes to be in one step, the one that makes the younger of its two symbols; later steps only
  destroy places. So its places are one slice of an array that only grows, and a place that no longer holds its pair
  is skipped when its turn comes.
- For the same reason a count can only fall after that step. The queue may be lazy: an entry that is too high when it
  comes up goes back with its true count. And it need hold only the pairs of `threshold` or more; when it runs dry, the
  threshold falls.
- A step sums its changes for each neighbouring symbol first, and touches each changed pair once.
"""

import numpy as np
from numba import int64, njit, uint64

LENGTH, WHERE = range(2)  # of a symbol: its bytes, and where in the text they stand
KEY, COUNT, FIRST, PLACES = range(4)  # of a pair: its symbols, its count, its slice of the places

_END = np.uint32(0xFFFF_FFFF)  # the cell before and after each word
_INSIDE = np.uint32(0xFFFF_FFFE)  # the cells within a symbol
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True)
def _compare(first, second, prefixes, symbols, text):
    """Below, at or above zero as the bytes of one symbol are below, at or above another's."""
    if first == second:
        return 0
    if prefixes[first] != prefixes[second]:
        return 1 if prefixes[first] > prefixes[second] else -1
    length, other = symbols[first, LENGTH], symbols[second, LENGTH]
    for i in range(8, min(length, other)):
        byte, byte_there = text[symbols[first, WHERE] + i], text[symbols[second, WHERE] + i]
        if byte != byte_there:
            return 1 if byte > byte_there else -1
    return length - other


@njit(nogil=True, cache=True)
def _is_before(count, pair, other_count, other, pairs, prefixes, symbols, text):
    """Whether a pair is merged before another: the greater count, then the greater pair of byte strings."""
    if count != other_count:
        return count > other_count
    key, other_key = pairs[pair, KEY], pairs[other, KEY]
    order = _compare(key >> 32, other_key >> 32, prefixes, symbols, text)
    if order == 0:
        order = _compare(key & 0xFFFFFFFF, other_key & 0xFFFFFFFF, prefixes, symbols, text)
    return order > 0


@njit(nogil=True, cache=True)
def _push(queue, size, count, pair, pairs, prefixes, symbols, text):
    """Put a pair into a heap of `size` rows (count, pair)."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if not _is_before(count, pair, queue[above, 0], queue[above, 1], pairs, prefixes, symbols, text):
            break
        queue[at, 0], queue[at, 1] = queue[above, 0], queue[above, 1]
        at = above
    queue[at, 0], queue[at, 1] = count, pair


@njit(nogil=True, cache=True)
def _sink(queue, size, count, pair, pairs, prefixes, symbols, text):
    """Put a pair in the place of the top of a heap of `size` rows."""
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _is_before(
            queue[below + 1, 0],
            queue[below + 1, 1],
            queue[below, 0],
            queue[below, 1],
            pairs,
            prefixes,
            symbols,
            text,
        ):
            below += 1
        if _is_before(count, pair, queue[below, 0], queue[below, 1], pairs, prefixes, symbols, text):
            break
        queue[at, 0], queue[at, 1] = queue[below, 0], queue[below, 1]
        at = below
    queue[at, 0], queue[at, 1] = count, pair


@njit(nogil=True, cache=True)
def _slot_of(key, table):
    """Where a key stands in a table of rows (key + 1, pair), or where it would."""
    mask = uint64(table.shape[0] - 1)
    mixed = uint64(key) * _MIX
    slot = (mixed ^ mixed >> uint64(32)) & mask
    while table[slot, 0] != 0 and table[slot, 0] != key + 1:
        slot = (slot + uint64(1)) & mask
    return slot


@njit(nogil=True, cache=True)
def _grown(array, used, wanted):
    """An array of at least `wanted` rows whose first `used` are those of `array`."""
    if array.shape[0] >= wanted:
        return array
    larger = np.empty((max(wanted, 2 * array.shape[0]), array.shape[1]), array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(nogil=True, cache=True)
def learn_merges(text, word_places, weights, first_id, num_merges):
    """Learn up to `num_merges` merges of words laid end to end.

    Returns a row (left, right) for each merge, and for each symbol a row (length, where in `text` it stands).
    """
    num_ids = first_id + num_merges
    symbols = np.zeros((num_ids, 2), dtype=np.int64)
    prefixes = np.zeros(num_ids, dtype=np.uint64)
    merges = np.empty((num_merges, 2), dtype=np.int64)
    num_words = word_places.shape[0]
    cells = text.astype(np.uint32)
    # The pairs of bytes: counted in a dense table, then given their places.
    dense = np.zeros((1 << 16, 2), dtype=np.int64)
    for word in range(num_words):
        end = word_places[word + 1] - 1 if word + 1 < num_words else text.shape[0] - 1
        cells[word_places[word] - 1] = _END
        cells[end] = _END
        for at in range(word_places[word], end - 1):
            key = int64(text[at]) << 8 | int64(text[at + 1])
            dense[key, 0] += weights[word]
            dense[key, 1] += 1
        for at in range(word_places[word], end):
            symbols[text[at], WHERE] = at
    for byte in range(256):
        symbols[byte, LENGTH] = 1
        prefixes[byte] = uint64(byte) << uint64(56)
    pairs = np.empty((1 << 15, 4), dtype=np.int64)
    table = np.zeros((1 << 16, 2), dtype=np.int64)
    num_pairs, num_places = 0, 0
    threshold = 1
    for key in range(1 << 16):
        if dense[key, 1]:
            pairs = _grown(pairs, num_pairs, num_pairs + 1)
            pair_key = (key >> 8) << 32 | (key & 0xFF)
            pairs[num_pairs, KEY], pairs[num_pairs, COUNT] = pair_key, dense[key, 0]
            pairs[num_pairs, FIRST], pairs[num_pairs, PLACES] = num_places, dense[key, 1]
            num_places += dense[key, 1]
            threshold = max(threshold, dense[key, 0])
            dense[key, 0] = pairs[num_pairs, FIRST]
            num_pairs += 1
    places = np.empty((2 * num_places + 1024, 2), dtype=np.uint32)  # rows (cell, word)
    for word in range(num_words):
        end = word_places[word + 1] - 1 if word + 1 < num_words else text.shape[0] - 1
        for at in range(word_places[word], end - 1):
            key = int64(text[at]) << 8 | int64(text[at + 1])
            places[dense[key, 0], 0], places[dense[key, 0], 1] = at, word
            dense[key, 0] += 1
    while 2 * num_pairs > table.shape[0]:
        table = np.zeros((2 * table.shape[0], 2), dtype=np.int64)
    for pair in range(num_pairs):
        slot = _slot_of(pairs[pair, KEY], table)
        table[slot, 0], table[slot, 1] = pairs[pair, KEY] + 1, pair

    queue = np.empty((1 << 12, 2), dtype=np.int64)
    in_queue = 0
    threshold += 1
    gain_left, gain_right = np.zeros(num_ids, dtype=np.int64), np.zeros(num_ids, dtype=np.int64)
    many_left, many_right = np.zeros(num_ids, dtype=np.int64), np.zeros(num_ids, dtype=np.int64)
    left_places, right_places = np.empty((1024, 3), dtype=np.uint32), np.empty((1024, 3), dtype=np.uint32)
    touched = np.empty(num_ids, dtype=np.int64)
    num_learned = 0
    while num_learned < num_merges:
        if in_queue == 0:
            if threshold == 1:
                break
            upper, threshold = threshold, max(1, threshold // 4)
            for pair in range(num_pairs):
                count = pairs[pair, COUNT]
                if threshold <= count < upper:
                    queue = _grown(queue, in_queue, in_queue + 1)
                    _push(queue, in_queue, count, pair, pairs, prefixes, symbols, text)
                    in_queue += 1
            continue
        count, pair = queue[0, 0], queue[0, 1]
        current = pairs[pair, COUNT]
        if current != count:
            if current >= threshold:
                _sink(queue, in_queue, current, pair, pairs, prefixes, symbols, text)
            else:
                in_queue -= 1
                _sink(queue, in_queue, queue[in_queue, 0], queue[in_queue, 1], pairs, prefixes, symbols, text)
            continue
        in_queue -= 1
        _sink(queue, in_queue, queue[in_queue, 0], queue[in_queue, 1], pairs, prefixes, symbols, text)

        left, right = pairs[pair, KEY] >> 32, pairs[pair, KEY] & 0xFFFFFFFF
        new = first_id + num_learned
        merges[num_learned, 0], merges[num_learned, 1] = left, right
        num_learned += 1
        left_length, right_length = symbols[left, LENGTH], symbols[right, LENGTH]
        length = left_length + right_length
        symbols[new, LENGTH] = length
        first, many = pairs[pair, FIRST], pairs[pair, PLACES]
        left_places, right_places = _grown(left_places, 0, many), _grown(right_places, 0, many)
        num_left, num_right, twins = 0, 0, 0
        for i in range(first, first + many):
            at, word = int64(places[i, 0]), int64(places[i, 1])
            after = at + left_length
            if cells[at] != left or cells[after] != right:
                continue
            weight = weights[word]
            before, beyond = cells[at - 1], cells[after + right_length]
            cells[at + left_length - 1] = _INSIDE
            cells[after] = _INSIDE
            cells[at], cells[at + length - 1] = new, new
            if before != _END:
                left_places[num_left, 0], left_places[num_left, 1] = at - symbols[before, LENGTH], word
                left_places[num_left, 2] = before
                num_left += 1
                gain_left[before] += weight
                many_left[before] += 1
                if before == new:
                    twins += weight
            if beyond != _END:
                right_places[num_right, 0], right_places[num_right, 1], right_places[num_right, 2] = (
                    at,
                    word,
                    beyond,
                )
                num_right += 1
                gain_right[beyond] += weight
                many_right[beyond] += 1
            symbols[new, WHERE] = at
        for i in range(min(length, 8)):
            prefixes[new] |= uint64(text[symbols[new, WHERE] + i]) << uint64(56 - 8 * i)
        pairs[pair, COUNT] = 0

        # Room for what this step makes, then one pass for the left neighbours and one for the right.
        pairs = _grown(pairs, num_pairs, num_pairs + num_left + num_right)
        places = _grown(places, num_places, num_places + num_left + num_right)
        queue = _grown(queue, in_queue, in_queue + num_left + num_right)
        if 2 * (num_pairs + num_left + num_right) > table.shape[0]:
            size = table.shape[0]
            while 2 * (num_pairs + num_left + num_right) > size:
                size *= 2
            table = np.zeros((size, 2), dtype=np.int64)
            for i in range(num_pairs):
                slot = _slot_of(pairs[i, KEY], table)
                table[slot, 0], table[slot, 1] = pairs[i, KEY] + 1, i
        for side in range(2):
            made, num_made = (left_places, num_left) if side == 0 else (right_places, num_right)
            gain, num_of = (gain_left, many_left) if side == 0 else (gain_right, many_right)
            num_touched = 0
            for i in range(num_made):
                neighbour = int64(made[i, 2])
                if num_of[neighbour] > 0:
                    # First met: its pair with the old symbol loses, its pair with the new one is made.
                    lost = gain[neighbour]
                    gone = neighbour << 32 | left if side == 0 else right << 32 | neighbour
                    fresh = neighbour << 32 | new if side == 0 else new << 32 | neighbour
                    gained = lost
                    if side == 1 and neighbour == left:
                        gained -= twins  # the right neighbour was itself merged after it was met
                    if neighbour != new and gone != pairs[pair, KEY]:
                        slot = _slot_of(gone, table)
                        pairs[table[slot, 1], COUNT] -= lost
                    slot = _slot_of(fresh, table)
                    table[slot, 0], table[slot, 1] = fresh + 1, num_pairs
                    pairs[num_pairs, KEY], pairs[num_pairs, COUNT] = fresh, gained
                    pairs[num_pairs, FIRST], pairs[num_pairs, PLACES] = num_places, num_of[neighbour]
                    gain[neighbour] = num_places
                    num_places += num_of[neighbour]
                    num_of[neighbour] = -1
                    if gained >= threshold:
                        _push(queue, in_queue, gained, num_pairs, pairs, prefixes, symbols, text)
                        in_queue += 1
                    num_pairs += 1
                    touched[num_touched] = neighbour
                    num_touched += 1
                places[gain[neighbour], 0], places[gain[neighbour], 1] = made[i, 0], made[i, 1]
                gain[neighbour] += 1
            for i in range(num_touched):
                gain[touched[i]] = 0
                num_of[touched[i]] = 0
    return merges[:num_learned], symbols
