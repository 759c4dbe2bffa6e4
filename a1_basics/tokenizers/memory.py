"""Loads, stores and bit tricks by address, for kernels that read text in place.

Numba compiles each of these to one machine instruction. None of them checks anything: an address comes from an
array or a buffer that the caller keeps alive, and stays inside it.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)


def _instruction(define: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`; callers give the arguments after the first, which is numba's own."""
    return intrinsic(define)


def _loader(bits, result):
    @_instruction
    def load(typing_context, address):
        def build(context, builder, signature, arguments):
            integer = ir.IntType(bits)
            value = builder.load(builder.inttoptr(arguments[0], integer.as_pointer()), align=1)
            width = context.get_value_type(result).width
            return builder.zext(value, ir.IntType(width)) if width > bits else value

        return result(types.uint64), build

    return load


load8 = _loader(8, types.int64)
load16 = _loader(16, types.uint64)
load32 = _loader(32, types.uint64)
load64 = _loader(64, types.uint64)


def _storer(bits):
    @_instruction
    def store(typing_context, address, value):
        def build(context, builder, signature, arguments):
            integer = ir.IntType(bits)
            value = builder.trunc(arguments[1], integer) if bits < 64 else arguments[1]
            builder.store(value, builder.inttoptr(arguments[0], integer.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), build

    return store


store8 = _storer(8)
store16 = _storer(16)
store32 = _storer(32)
store64 = _storer(64)


@_instruction
def copy16(typing_context, source, target):
    """Copy sixteen bytes from one address to another."""

    def build(context, builder, signature, arguments):
        vector = ir.VectorType(_WORD, 2).as_pointer()
        source, target = (builder.inttoptr(address, vector) for address in arguments)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), build


@_instruction
def count_ones(typing_context, value):
    """How many bits are set."""

    def build(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


@_instruction
def trailing_zeros(typing_context, value):
    """The index of the lowest set bit; 64 for none."""

    def build(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), build


@_instruction
def prefetch(typing_context, address):
    """Ask for the cache line at an address, which will be read soon."""

    def build(context, builder, signature, arguments):
        byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        flags = [ir.Constant(integer, flag) for flag in (0, 3, 1)]  # read, keep near, data
        builder.call(function, [builder.inttoptr(arguments[0], byte), *flags])
        return context.get_dummy_value()

    return types.void(types.uint64), build


@_instruction
def class_masks(typing_context, address):
    """Six masks of the 64 bytes at an address, bit i for byte i.

    Letters, digits, spaces, other white space, apostrophes, and bytes that are not ASCII. One vector compare
    each: LLVM makes of them what the processor has, from SSE2 and NEON to AVX-512.
    """
    masks = types.UniTuple(types.uint64, 6)

    def build(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), 64)
        text = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)

        def all_of(byte):
            return ir.Constant(vector, [byte] * 64)

        def from_to(value, low, high):
            return builder.icmp_unsigned("<", builder.sub(value, all_of(low)), all_of(high - low + 1))

        def is_byte(byte):
            return builder.icmp_unsigned("==", text, all_of(byte))

        found = (
            from_to(builder.or_(text, all_of(0x20)), ord("a"), ord("z")),
            from_to(text, ord("0"), ord("9")),
            is_byte(ord(" ")),
            from_to(text, ord("\t"), ord("\r")),
            is_byte(ord("'")),
            builder.icmp_unsigned(">=", text, all_of(0x80)),
        )
        return context.make_tuple(builder, masks, [builder.bitcast(bits, _WORD) for bits in found])

    return masks(types.uint64), build
