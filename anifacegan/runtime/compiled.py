"""The one decorator of numba-compiled functions, which also works on read-only file systems.

numba caches machine code in NUMBA_CACHE_DIR, in the package's ``__pycache__`` or in the user's cache folder: the first
of them that is writable. If none is writable, as in a container with a read-only file system, numba raises when it
decorates a function with ``cache=True``. The function is then compiled without a cache, once in every process.
"""

from collections.abc import Callable
from typing import Any

import numba


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a function at its first call, with ``numba.njit`` and its options."""

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no writable folder for a cache
            return numba.njit(**options)(function)

    return decorate
