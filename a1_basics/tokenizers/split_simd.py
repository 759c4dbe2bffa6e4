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

from a1_basics.tokenizers.memory import class_masks, load8, trailing_zeros
from a1_basics.tokenizers.split_scalar import (
    INVALID_UTF8,
    LETTER,
    NUMBER,
    WHITE,
    contraction_length,
    decode_character,
)

BATCH_BYTES = 8192  # text that is split in one go: its starts stay in the nearest cache
NUM_CARRIED = 8  # words that pass from one batch to the next; zeros before the first
LETTERS, NUMBERS, OTHERS, SPACES, WHITES, FORCED, TAKEN, REST = range(NUM_CARRIED)

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_0, _1, _8, _63, _64 = (np.uint64(n) for n in (0, 1, 8, 63, 64))
_NO_BYTES = np.zeros(64, dtype=np.uint8)


@njit(nogil=True, cache=True)
def split_simd(at, end, classes, carried, starts, count):
    """Append the starts of pre-tokens in the next `BATCH_BYTES` of a text to `starts`; return how many there are.

    `at` is where this batch begins and `end` where the text does; `carried` passes between the batches of a text.
    `starts` begins with at least one earlier start, unless this is the text's first batch, and has room for one more
    per byte. `INVALID_UTF8` is returned for a text that is none.
    """
    count = int64(count)
    letters_before, numbers_before, others_before = carried[LETTERS], carried[NUMBERS], carried[OTHERS]
    spaces_before, whites_before = carried[SPACES], carried[WHITES]
    forced, taken, rest = carried[FORCED], carried[TAKEN], carried[REST]
    stop = min(at + uint64(BATCH_BYTES), end)
    while at < stop:
        inside = _ALL
        if end - at >= _64:
            letters, numbers, spaces, whites, apostrophes, wide = class_masks(at)
        else:
            inside = (_1 << (end - at)) - _1
            padded = np.zeros(64, dtype=np.uint8)
            for i in range(end - at):
                padded[i] = load8(at + uint64(i))
            letters, numbers, spaces, whites, apostrophes, wide = class_masks(uint64(padded.ctypes.data))
        if wide:
            if rest:  # bytes of a character that began in the block before, and are of its class
                mask = (_1 << (rest >> _8)) - _1
                kind = rest & uint64(0xFF)
                if kind == uint64(LETTER):
                    letters |= mask
                elif kind == uint64(NUMBER):
                    numbers |= mask
                elif kind == uint64(WHITE):
                    whites |= mask
                wide &= ~mask
                rest = _0
            while wide:
                bit = trailing_zeros(wide)
                point, length = decode_character(at + bit, end)
                if length == 0:
                    return INVALID_UTF8
                kind = classes[point]
                mask = ((_1 << uint64(length)) - _1) << bit
                if kind == LETTER:
                    letters |= mask
                elif kind == NUMBER:
                    numbers |= mask
                elif kind == WHITE:
                    whites |= mask
                wide &= ~mask
                if bit + uint64(length) > _64:
                    rest = (bit + uint64(length) - _64) << _8 | uint64(kind)
        whites |= spaces
        words = letters | numbers
        others = inside & ~(words | whites)
        whites_left = whites << _1 | whites_before
        begins = (
            (letters & ~(letters << _1 | letters_before))
            | (numbers & ~(numbers << _1 | numbers_before))
            | (others & ~(others << _1 | others_before))
        ) & ~(spaces << _1 | spaces_before)
        ends_white = (words | others) & whites_left  # the byte before is the last white space of its run
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
        while ends_white:
            white = at + trailing_zeros(ends_white) - _1
            ends_white &= ends_white - _1
            while load8(white) & 0xC0 == 0x80:
                white -= _1
            if white >= at:
                found |= _1 << (white - at)
            elif starts[count - 1] != white:
                starts[count] = white
                count += 1
        found &= inside
        while found:
            starts[count] = at + trailing_zeros(found)
            count += 1
            found &= found - _1
        letters_before, numbers_before, others_before = letters >> _63, numbers >> _63, others >> _63
        spaces_before, whites_before = spaces >> _63, whites >> _63
        at += _64
    carried[LETTERS], carried[NUMBERS], carried[OTHERS] = letters_before, numbers_before, others_before
    carried[SPACES], carried[WHITES] = spaces_before, whites_before
    carried[FORCED], carried[TAKEN], carried[REST] = forced, taken, rest
    return count


@njit(nogil=True, cache=True)
def split_all(begin, end, classes, starts):
    """All starts of a text at once, as `split_scalar` gives them: for tests and measurements."""
    carried = np.zeros(NUM_CARRIED, dtype=np.uint64)
    count = 0
    at = begin
    while at < end and count >= 0:
        count = split_simd(at, end, classes, carried, starts, count)
        at += uint64(BATCH_BYTES)
    return count
