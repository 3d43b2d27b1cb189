"""The one decorator of numba-compiled functions, which also works on read-only file systems, and bfloat16 in them.

numba caches machine code in NUMBA_CACHE_DIR, in the package's ``__pycache__`` or in the user's cache folder: the first
of them that is writable. If none is writable, as in a container with a read-only file system, numba raises when it
decorates a function with ``cache=True``. The cache is then a folder of the user's own in the folder for temporary
files; without it, functions are compiled once in every process, which is said once. So they are where the cache's disk
is full, and where a file of the cache is damaged, as a power failure leaves it; numba would raise there, too.

numba has no bfloat16. Compiled functions read such numbers as the uint16 of the same bits: :func:`widened` and
:func:`narrowed` convert them, and leave float32 as it is, so that one function serves both.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, no_type_check

import numba
from llvmlite import ir
from numba.extending import intrinsic, overload

from anifacegan.runtime.errors import say_once

_NOT_KEPT = "compiled code cannot be kept: every start is slower (NUMBA_CACHE_DIR names a writable folder)"


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a function at its first call, with ``numba.njit`` and its options."""

    def decorate(function: Callable) -> Callable:
        if numba.config.DISABLE_JIT:
            say_once(
                "NUMBA_DISABLE_JIT is set: nothing is compiled, and rendering is thousands of times slower"
            )
        with suppress(RuntimeError):  # no writable folder for a cache
            return _with_optional_cache(numba.njit(cache=True, **options)(function))
        folder = _own_temporary_folder()
        if folder is not None:
            numba.config.CACHE_DIR = str(folder)
            with suppress(RuntimeError):  # the module's folder in it cannot be made or written
                return _with_optional_cache(numba.njit(cache=True, **options)(function))
        say_once(_NOT_KEPT)
        return numba.njit(**options)(function)

    return decorate


def _with_optional_cache(dispatcher: Any) -> Any:
    """Let a compiled function compile where its cache fails. The cache's index is removed then: numba writes it before
    the code, so that it may name a file that holds the code of an earlier version.
    """
    if not hasattr(dispatcher, "_cache"):
        return dispatcher  # NUMBA_DISABLE_JIT: the function itself
    kept = dispatcher._cache
    load, save = kept.load_overload, kept.save_overload

    def forget() -> None:
        with suppress(OSError):
            os.unlink(kept._cache_file._index_path)

    def load_overload(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception:  # a damaged pickle raises anything
            forget()
            return None

    def save_overload(*arguments: Any) -> None:
        try:
            save(*arguments)
        except Exception:  # a full disk, a folder that was removed, a damaged index
            forget()
            say_once(_NOT_KEPT)

    kept.load_overload, kept.save_overload = load_overload, save_overload
    return dispatcher


@cache
def _own_temporary_folder() -> Path | None:
    """Make or find a cache folder that nobody else can write to; None where there is none.

    What is in a cache is run, so a folder that another user has made is never taken.
    """
    folder = Path(tempfile.gettempdir()) / f"anifacegan-numba-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        is_own = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077
        return folder if is_own and os.access(folder, os.W_OK) else None
    except OSError:
        return None


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
