"""How many threads a training run computes with.

Jobs for all cores of a CPU: each takes one after the other, and does all of it alone.

The fields' layers are so small that cores which share one product wait for each other longer than they compute.

One thread for each matrix product of NumPy, SciPy and numba, while the cores of a CPU have work of their own.

Their BLAS has a pool of threads for the whole process: cores that ask it at once, each for a small product, wait for
one another. (PyTorch's products are not meant here. A BLAS on OpenMP has as many threads as its caller: one, in the
threads of :mod:`anifacegan.cores`.)

The C library's allocator, told to keep what PyTorch frees.

glibc maps every large tensor anew and gives it back when it is freed; the page faults of the next one can cost more
than the arithmetic. Training calls this once; a library must not, so importing does nothing.
"""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Lock
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController


def use_threads(count: int) -> None:
    """Let PyTorch compute with so many threads, and :mod:`anifacegan.cores`; 0 leaves the choice to it."""
    if count:
        torch.set_num_threads(count)


Job = TypeVar("Job")
START_SECONDS = 60.0
"""A thread that does not start in this time is an error."""
_starting = Lock()


def on_all_cores(jobs: Iterable[Job], work: Callable[[Job], None]) -> None:
    """``work`` on each of the jobs, in as many threads as PyTorch has in this one. Without gradients.

    Inside of several jobs PyTorch has one thread, so that jobs of jobs stay where they are; a single job stays in this
    thread, and may use them all. No job is begun after an error or an interruption, and none goes on behind its back.
    """
    threads = torch.get_num_threads()
    todo = deque(jobs)

    @torch.inference_mode()
    def take_turns() -> None:
        while True:
            try:
                job = todo.popleft()
            except IndexError:
                return
            try:
                work(job)
            except BaseException:
                todo.clear()
                raise

    if threads == 1 or len(todo) <= 1:
        take_turns()
        return
    with _starting:
        workers = _workers(threads)
    running = [workers.submit(take_turns) for _ in range(threads)]
    try:
        wait(running)
    except BaseException:
        todo.clear()
        wait(running)
        raise
    for taken in running:
        taken.result()


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch computes alone."""
    started = Barrier(threads + 1, timeout=START_SECONDS)

    def start() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the default at its first question: now, while that is 1
        started.wait()

    workers = ThreadPoolExecutor(threads, "core", start)
    try:
        for _ in range(threads):
            workers.submit(int)
        started.wait()
    except BaseException:
        started.abort()
        raise
    finally:
        torch.set_num_threads(threads)  # each of them has made 1 the default of threads to come
    return workers


def _forget_pool() -> None:
    """A fork has no threads, and nobody who would give the lock back."""
    global _starting
    _starting = Lock()
    _workers.cache_clear()


os.register_at_fork(after_in_child=_forget_pool)

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


def _forget_limit() -> None:
    """A fork has one thread, and nobody who would give the lock back."""
    global _lock, _users
    _lock, _users = Lock(), 0
    _keeper.cache_clear()


os.register_at_fork(after_in_child=_forget_limit)

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_KEEP_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Serve large blocks from the heap and never shrink it; False where the allocator is not glibc's."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _KEEP_BYTES, _TOP_PAD: 2**26}
    return all([mallopt(name, value) for name, value in settings.items()])
