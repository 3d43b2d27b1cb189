"""Checks of what a program hands to the library: numbers, switches and arrays in any of their usual types."""

import math
import operator
from typing import Any

import numpy as np

from anifacegan.runtime.errors import InputError

_NO_NUMBERS = (str, bytes, bytearray, memoryview, bool, np.bool_, complex, np.complexfloating)
"""Types that Python or NumPy would convert to a number, some of them losing a part."""
LARGEST_VALUE = 1e6
"""Largest absolute value in an array; coefficients and latents are of the size of 1."""


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number of Python, NumPy or PyTorch as an int.

    Raises:
        InputError: it is none, or not between ``least`` and ``most``.
    """
    try:
        number = operator.index(value) if _may_be_a_number(value) else None
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name} is {value!r}, expected a whole number from {least} to {most}")
    return number


def number(name: str, value: Any, most: float = LARGEST_VALUE) -> float:
    """Return a real number of Python, NumPy or PyTorch as a float.

    Raises:
        InputError: it is none, not finite, or larger than ``most`` in size.
    """
    try:
        found = float(value) if _may_be_a_number(value) else math.nan
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = math.nan
    if not abs(found) <= most:
        raise InputError(f"{name} is {value!r}, expected a finite number up to {most:g}")
    return found


def _may_be_a_number(value: Any) -> bool:
    """Return whether a value is no text, no truth value and no complex number, also as an array or a tensor."""
    kind = getattr(value, "dtype", None)
    if isinstance(kind, np.dtype):
        return kind.kind in "fiuV"  # V: bfloat16 of other packages
    return not isinstance(value, _NO_NUMBERS) and not str(kind).startswith(("torch.bool", "torch.complex"))


def switch(name: str, value: Any) -> bool:
    """Return a bool of Python or NumPy as one of Python; a text such as "no" would count as true.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {value!r}, expected true or false")
    return bool(value)


def _numpy(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers; NumPy has no bfloat16 and no 8-bit floats."""
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def array(name: str, value: Any, length: int) -> np.ndarray:
    """Return numbers of a list, an array or a tensor, of the shape (length,) or (1, length), as float32 (length,).

    Raises:
        InputError: it holds no real numbers, is of another shape, or has a value that is not finite, or larger than
            LARGEST_VALUE in size.
    """
    if isinstance(value, _NO_NUMBERS):
        raise InputError(f"{name} is a {type(value).__name__}, expected {length} numbers")
    detach = getattr(value, "detach", None)  # of a tensor, which may need gradients or lie on a GPU
    try:
        found = np.asarray(value if detach is None else _numpy(detach().cpu()))
    except Exception as error:
        raise InputError(f"{name} is a {type(value).__name__}, expected {length} numbers") from error
    if np.ma.is_masked(value):
        raise InputError(f"{name} has masked values, expected {length} numbers")
    if found.dtype.kind not in "fiu" or found.shape not in ((length,), (1, length)):
        raise InputError(
            f"{name} is {found.dtype} of shape {found.shape}, expected {length} numbers, ({length},) or (1, {length})"
        )
    if not (np.abs(found.astype(np.float64)) <= LARGEST_VALUE).all():
        raise InputError(f"{name} has values that are not finite, or beyond {LARGEST_VALUE:g}")
    return found.astype(np.float32).reshape(length)
