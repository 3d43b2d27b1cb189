"""The one decorator of numba-compiled functions, which also works on read-only file systems, and bfloat16 in them.

numba caches machine code in NUMBA_CACHE_DIR, in the package's ``__pycache__`` or in the user's cache folder: the first
of them that is writable. If none is writable, as in a container with a read-only file system, numba raises when it
decorates a function with ``cache=True``. The function is then compiled without a cache, once in every process.

numba has no bfloat16. Compiled functions read such numbers as the uint16 of the same bits: :func:`widened` and
:func:`narrowed` convert them, and leave float32 as it is, so that one function serves both.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numba
from llvmlite import ir
from numba.extending import intrinsic, overload


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a function at its first call, with ``numba.njit`` and its options."""

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no writable folder for a cache
            return numba.njit(**options)(function)

    return decorate


# ----------------------------------------------------------------------------------------------------------- bfloat16
@no_type_check
def widened(value):
    """Convert a number that a compiled function has read, the bits of a bfloat16 or a float32, to float32."""
    raise NotImplementedError("only compiled functions call it")


@no_type_check
def narrowed(value, like):
    """Round a float32 in a compiled function to the type of ``like``: the bits of a bfloat16, or float32."""
    raise NotImplementedError("only compiled functions call it")


@overload(widened, inline="always")
@no_type_check
def _widened(value):
    if value == numba.types.uint16:
        return lambda value: _float_of_bits(value)
    return lambda value: value


@overload(narrowed, inline="always")
@no_type_check
def _narrowed(value, like):
    if like == numba.types.uint16:
        return lambda value, like: _bits_of_float(value)
    return lambda value, like: value


@intrinsic
@no_type_check
def _float_of_bits(_context, _bits):
    def generate(_context, builder, _signature, arguments):
        word = ir.IntType(32)
        bits = builder.shl(builder.zext(arguments[0], word), ir.Constant(word, 16))
        return builder.bitcast(bits, ir.FloatType())

    return numba.types.float32(numba.types.uint16), generate


@intrinsic
@no_type_check
def _bits_of_float(_context, _value):
    def generate(_context, builder, _signature, arguments):
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        odd = builder.and_(builder.lshr(bits, ir.Constant(word, 16)), ir.Constant(word, 1))
        rounded = builder.add(builder.add(bits, odd), ir.Constant(word, 0x7FFF))  # to nearest, ties to even
        return builder.trunc(builder.lshr(rounded, ir.Constant(word, 16)), ir.IntType(16))

    return numba.types.uint16(numba.types.float32), generate
