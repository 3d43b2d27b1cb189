"""Checks of arrays that are read from files, before anything computes with them.

Compiled loops check neither indices nor values: an index beyond an array ends the process without a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anifacegan.runtime.errors import InputError

KINDS = {"f": "floats", "iu": "whole numbers", "fiu": "numbers", "b": "booleans", "U": "texts"}
"""Maps sets of NumPy's ``dtype.kind`` letters, of which an array has to have one, to a name for error messages."""


@dataclass(frozen=True)
class Expected:
    """Requirements on one array in a file."""

    kinds: str
    """Allowed kinds of values, a key of :data:`KINDS`."""
    shape: tuple[int | str, ...]
    """Size of each axis. A text is the name of a size; axes with the same name have to have the same size."""
    within: tuple[int | float | str, int | float | str] | None = None
    """Smallest and largest value allowed. A text is the name of a size from ``shape`` and stands for this size minus
    1."""


def check_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, Expected], advice: str
) -> None:
    """Require that arrays read from the file ``path`` have the expected kind, shape and range, and are finite.

    ``advice`` is the end of the error message.

    Raises:
        InputError: an array fails; the message names the file, the first such array, what it is, and what is expected.
    """
    sizes: dict[str, int] = {}
    for name, like in expected.items():
        array = arrays[name]
        _check_shape(f"{path}: key '{name}'", array, like, sizes, advice)
    for name, like in expected.items():
        _check_values(f"{path}: key '{name}'", arrays[name], like, sizes, advice)


def _check_shape(place: str, array: np.ndarray, like: Expected, sizes: dict[str, int], advice: str) -> None:
    fits = array.dtype.kind in like.kinds and array.ndim == len(like.shape)
    for target, got in zip(like.shape, array.shape, strict=False):
        fits = fits and got == (sizes.setdefault(target, got) if isinstance(target, str) else target)
    if not fits:
        shape = ", ".join(
            str(sizes.get(size, size)) if isinstance(size, str) else str(size) for size in like.shape
        )
        raise InputError(
            f"{place} is {array.dtype}{array.shape}, expected {KINDS[like.kinds]} of shape ({shape}); {advice}"
        )


def _check_values(place: str, array: np.ndarray, like: Expected, sizes: dict[str, int], advice: str) -> None:
    if array.dtype.kind == "U" or array.size == 0:
        return
    lowest, highest = array.min(), array.max()  # NaN where one is
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InputError(f"{place} has values that are not finite; {advice}")
    if like.within is None:
        return
    low, high = (sizes[end] - 1 if isinstance(end, str) else end for end in like.within)
    if lowest < low or highest > high:
        raise InputError(f"{place} holds {lowest} to {highest}, expected {low} to {high}; {advice}")
