"""Pre-tokens by a state machine over bytes: the clear middle step between the regular expression and vectors.

The pattern of `pretokenize.py` needs to know of each character only its class: letter, number, space, other
white space, or anything else. `character_classes` tabulates the class of every code point, by asking the
regular expression itself. `split_scalar` then walks over UTF-8 once and writes down where pre-tokens start:
about forty times as fast as the regular expression, and the twin that `split_simd.py` has to agree with.

Both splitters speak of memory by address, so that any buffer can be split without a copy; whoever calls them
keeps the buffer alive. Numba is imported here, so only fast paths import this module.
"""

import functools

import numpy as np
import regex
from numba import int64, njit, uint64

from a1_basics.tokenizers.memory import load8

OTHER, LETTER, NUMBER, SPACE, WHITE = 0, 1, 2, 3, 4
INVALID_UTF8 = -1


@functools.cache
def character_classes() -> np.ndarray:
    """The class of each of the 0x110000 code points, as uint8.

    >>> classes = character_classes()
    >>> [int(classes[ord(c)]) for c in "aé한7² \\t!"] == [1, 1, 1, 2, 2, 3, 4, 0]
    True
    """
    every = "".join(map(chr, range(0xD800))) + "?" * 0x800 + "".join(map(chr, range(0xE000, 0x110000)))
    classes = np.zeros(0x110000, dtype=np.uint8)
    for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (WHITE, r"\s+"), (SPACE, " +")):
        for run in regex.finditer(pattern, every):
            classes[run.start() : run.end()] = kind
    return classes


@njit(nogil=True, cache=True, forceinline=True)
def decode_character(address, end):
    """(code point, length in bytes) of the character at `address`; length 0 where it is no valid UTF-8."""
    lead = load8(address)
    if lead < 0x80:
        return lead, 1
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or lead > 0xF4 or address + uint64(length) > end:
        return 0, 0
    # A byte that continues a character is 0x80 to 0xBF: below 0x40 with its upper bit turned.
    second = load8(address + uint64(1)) ^ 0x80
    if length == 2:
        return ((lead & 0x1F) << 6 | second, 2) if second < 0x40 else (0, 0)
    third = load8(address + uint64(2)) ^ 0x80
    if length == 3:
        point = (lead & 0x0F) << 12 | second << 6 | third
        is_valid = (second | third) < 0x40 and point >= 0x800 and not 0xD800 <= point < 0xE000
        return (point, 3) if is_valid else (0, 0)
    fourth = load8(address + uint64(3)) ^ 0x80
    point = (lead & 0x07) << 18 | second << 12 | third << 6 | fourth
    return (point, 4) if (second | third | fourth) < 0x40 and 0x10000 <= point <= 0x10FFFF else (0, 0)


@njit(nogil=True, cache=True)
def character_ends(address, ends):
    """Turn the ends of texts that lie end to end in UTF-8 from `address` on from numbers of characters into bytes."""
    end, characters = 0, 0  # where the text before ends, in bytes and in characters
    for i in range(ends.shape[0]):
        missing = ends[i] - characters
        characters = ends[i]
        while missing:  # as many bytes, and then as many as there are among them that begin no character
            start, end = end, end + missing
            missing = 0
            for at in range(start, end):
                missing += load8(address + uint64(at)) & 0xC0 == 0x80
            if missing == 0:  # the last byte begins a character: the rest of that belongs to it
                lead = load8(address + uint64(end - 1))
                end += int64(lead >= 0xC0) + int64(lead >= 0xE0) + int64(lead >= 0xF0)
        ends[i] = end


@njit(nogil=True, cache=True)
def contraction_length(address, end):
    """Bytes of the contraction (`'s`, `'ll`, ...) that begins with the apostrophe at `address`; 0 for none."""
    if address + uint64(1) >= end:
        return 0
    first = load8(address + uint64(1))
    if first == 115 or first == 100 or first == 109 or first == 116:  # s d m t
        return 2
    if address + uint64(2) >= end:
        return 0
    second = load8(address + uint64(2))
    if (first == 108 and second == 108) or ((first == 118 or first == 114) and second == 101):  # ll ve re
        return 3
    return 0


@njit(nogil=True, cache=True)
def split_scalar(begin, end, classes, starts):
    """Write the address at which each pre-token of the text in [begin, end) starts; return how many.

    `starts` has room for one start per byte. `INVALID_UTF8` is returned for a text that is none.
    """
    count = 0
    at = begin
    while at < end:
        starts[count] = at
        count += 1
        point, length = decode_character(at, end)
        if length == 0:
            return INVALID_UTF8
        kind = classes[point]
        if point == 39:  # an apostrophe that no run of signs has taken
            short = contraction_length(at, end)
            if short:
                at += uint64(short)
                continue
        at += uint64(length)
        if kind == SPACE and at < end:  # a space goes with what follows, unless that is white space
            point, length = decode_character(at, end)
            if length == 0:
                return INVALID_UTF8
            if classes[point] < SPACE:
                kind = classes[point]
                at += uint64(length)
        last = at  # where the last white space of a run begins
        is_long = False
        while at < end:
            point, length = decode_character(at, end)
            if length == 0:
                return INVALID_UTF8
            if (classes[point] != kind) if kind < SPACE else (classes[point] < SPACE):
                break
            last, is_long = at, True
            at += uint64(length)
        if kind >= SPACE and is_long and at < end:
            at = last  # `\s+(?!\S)` leaves the last one to what follows
    return count
