"""Compiled loops: numba's decorator, with its cache where there is a folder for one.

numba keeps what it has compiled in NUMBA_CACHE_DIR, in the package's ``__pycache__`` or in the user's cache folder,
the first of them that can be written. Where none can, as in a container with a read-only file system, it refuses to
decorate a function with ``cache=True``; such a function is then compiled anew in every process.
"""

from collections.abc import Callable
from typing import Any

import numba


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function at its first call, with the options of ``numba.njit``; kept in a cache where one can be
    written.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for a cache
            return numba.njit(**options)(function)

    return decorate
