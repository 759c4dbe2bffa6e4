"""Pre-tokens at the speed of memory: 64 bytes at a time, as bit masks.

Bit i of a mask speaks of byte i of a block. One vector compare gives the letters of a block, one the digits, and so
on; a shift by one bit lays each byte beside its left neighbour, so that a few logical operations find all starts of
pre-tokens at once:

    text      We're  24!        letters & ~(letters << 1) & ~(spaces << 1)   a run of letters begins,
    letters   ##.##.....                                                     and no space before it goes with it
    starts    #.#..##..#        white & (not white >> 1)                     the last white space of a run

What masks cannot say is said by a loop over the bits concerned: contractions, and the class of each character that is
not ASCII, whose bits are then set for all its bytes. `split_scalar.py` says the same thing character by character.
"""

import numpy as np
from numba import int64, njit, uint64

from a1_basics.tokenizers.memory import class_masks, count_ones, load8, load64, store64, trailing_zeros
from a1_basics.tokenizers.split_scalar import (
    INVALID_UTF8,
    LETTER,
    NUMBER,
    WHITE,
    contraction_length,
    decode_character,
)

BATCH_BYTES = 8192  # text that is split in one go: its starts stay in the nearest cache
USUAL_STARTS = 20  # in 64 bytes; few blocks of text have more
SLACK_STARTS = USUAL_STARTS  # so many more may be written than there are
NUM_CARRIED = 8  # words that pass from one batch to the next; zeros before the first
LETTERS, NUMBERS, OTHERS, SPACES, WHITES, FORCED, TAKEN, REST = range(NUM_CARRIED)

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_0, _1, _3, _8, _63, _64 = (np.uint64(n) for n in (0, 1, 3, 8, 63, 64))


@njit(nogil=True, cache=True)
def split_simd(at, end, limit, classes, carried, starts, count):
    """Append the starts of pre-tokens in the next `BATCH_BYTES` of a text to `starts`; return how many there are.

    `at` is where this batch begins, `end` where the text does, and `limit` where readable memory does; `carried` passes
    between the batches of a text. `starts` holds `count` earlier starts, and has room for one more per byte and
    SLACK_STARTS. `INVALID_UTF8` is returned for a text that is none.
    """
    first = uint64(starts.ctypes.data)
    free = first + (uint64(count) << _3)  # where the next start is written
    letters_before, numbers_before, others_before = carried[LETTERS], carried[NUMBERS], carried[OTHERS]
    spaces_before, whites_before = carried[SPACES], carried[WHITES]
    forced, taken, rest = carried[FORCED], carried[TAKEN], carried[REST]
    stop = min(at + uint64(BATCH_BYTES), end)
    while at < stop:
        if limit - at >= _64:
            letters, numbers, spaces, whites, apostrophes, wide = class_masks(at)
        else:
            padded = np.zeros(64, dtype=np.uint8)
            for i in range(limit - at):
                padded[i] = load8(at + uint64(i))
            letters, numbers, spaces, whites, apostrophes, wide = class_masks(uint64(padded.ctypes.data))
        inside = _ALL
        if end - at < _64:
            inside = (_1 << (end - at)) - _1
            letters, numbers, spaces = letters & inside, numbers & inside, spaces & inside
            whites, apostrophes, wide = whites & inside, apostrophes & inside, wide & inside
        whites |= spaces
        may_be_wide = wide << _1 | _1
        if wide:
            if rest:  # bytes of a character that began in the block before, and are of its class
                mask = (_1 << (rest >> _8)) - _1
                kind = int64(rest & uint64(0xFF))
                letters |= mask if kind == LETTER else _0
                numbers |= mask if kind == NUMBER else _0
                whites |= mask if kind == WHITE else _0
                wide &= ~mask
                rest = _0
            while wide:
                bit = trailing_zeros(wide)
                point, length = decode_character(at + bit, end)
                if length == 0:
                    return INVALID_UTF8
                kind = int64(classes[point])
                mask = ((_1 << uint64(length)) - _1) << bit
                letters |= mask if kind == LETTER else _0
                numbers |= mask if kind == NUMBER else _0
                whites |= mask if kind == WHITE else _0
                wide &= ~mask
                if bit + uint64(length) > _64:
                    rest = (bit + uint64(length) - _64) << _8 | uint64(kind)
        words = letters | numbers
        others = inside & ~(words | whites)
        whites_left = whites << _1 | whites_before
        begins = (
            (letters & ~(letters << _1 | letters_before))
            | (numbers & ~(numbers << _1 | numbers_before))
            | (others & ~(others << _1 | others_before))
        ) & ~(spaces << _1 | spaces_before)
        found = begins | (whites & ~whites_left)
        apostrophes &= begins
        found &= ~taken
        found |= forced
        taken, forced = _0, _0
        while apostrophes:
            bit = trailing_zeros(apostrophes)
            apostrophes &= apostrophes - _1
            length = uint64(contraction_length(at + bit, end))
            if length:
                # The letter after the apostrophe starts nothing; what follows the contraction does.
                if bit == _63:
                    taken = _1
                else:
                    found &= ~(_1 << (bit + _1))
                if bit + length < _64:
                    found |= _1 << (bit + length)
                else:
                    forced = _1 << (bit + length - _64)
        # The byte before ends the last white space of its run. It is all of that, but for a longer character; and
        # at the edge it lies in the block before.
        ends_white = (words | others) & whites_left
        late = ends_white & may_be_wide
        found |= (ends_white ^ late) >> _1
        while late:
            white = at + trailing_zeros(late) - _1
            late &= late - _1
            while load8(white) & 0xC0 == 0x80:
                white -= _1
            if white >= at:
                found |= _1 << (white - at)
            elif load64(free - _8) != white:
                store64(free, white)
                free += _8
        found &= inside
        after = free + (count_ones(found) << _3)
        # Without a branch while there are no more than usual: their number is as good as random.
        for i in range(USUAL_STARTS):
            store64(free + uint64(8 * i), at + trailing_zeros(found))
            found &= found - _1
        free += uint64(8 * USUAL_STARTS)
        while found:
            store64(free, at + trailing_zeros(found))
            found &= found - _1
            free += _8
        free = after
        letters_before, numbers_before, others_before = letters >> _63, numbers >> _63, others >> _63
        spaces_before, whites_before = spaces >> _63, whites >> _63
        at += _64
    carried[LETTERS], carried[NUMBERS], carried[OTHERS] = letters_before, numbers_before, others_before
    carried[SPACES], carried[WHITES] = spaces_before, whites_before
    carried[FORCED], carried[TAKEN], carried[REST] = forced, taken, rest
    return int64((free - first) >> _3)


@njit(nogil=True, cache=True)
def split_all(begin, end, classes, starts):
    """All starts of a text at once, as `split_scalar` gives them: for tests and measurements."""
    carried = np.zeros(NUM_CARRIED, dtype=np.uint64)
    count = 0
    at = begin
    while at < end and count >= 0:
        count = split_simd(at, end, end, classes, carried, starts, count)
        at += uint64(BATCH_BYTES)
    return count
