"""One thread for each matrix product of NumPy, SciPy and numba, while the cores of a CPU have work of their own.

Their BLAS has a pool of threads for the whole process: cores that ask it at once, each for a small product, wait for
one another. (PyTorch's products are not meant here. A BLAS on OpenMP has as many threads as its caller: one, in the
threads of :mod:`anifacegan.cores`.)
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products have one thread until the last who is in here is out; then as many as before."""
    global _users, _limit
    with _lock:
        if _users == 0:
            _limit = _keeper().submit(_limited).result()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _keeper().submit(_limit.__exit__, None, None, None).result()


def _limited() -> Any:
    limit = _blas().limit(limits=1)
    limit.__enter__()
    return limit


@cache
def _keeper() -> ThreadPoolExecutor:
    """A thread that sets the number and sets it back: threadpoolctl listens to who was first, and to nobody else."""
    return ThreadPoolExecutor(1, "blas")


@cache
def _blas() -> ThreadpoolController:
    import scipy.linalg.cython_blas  # noqa: F401  what numba multiplies with: loaded now, so that it is found

    return ThreadpoolController().select(user_api="blas")


def _forget() -> None:
    """A fork has one thread, and nobody who would give the lock back."""
    global _lock, _users
    _lock, _users = Lock(), 0
    _keeper.cache_clear()


os.register_at_fork(after_in_child=_forget)
