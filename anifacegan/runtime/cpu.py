"""Threads, matrix products and memory of the CPU.

:func:`set_torch_threads` sets how many threads PyTorch has. :func:`on_all_cores` gives each of them whole jobs: the
layers of the fields are so small that threads which share one matrix product wait for each other longer than they
compute; :func:`side_by_side` does so with gradients, for shares of a batch. PyTorch's own threads spin while they wait
for the next operation to share, and would take the cores from such jobs: :func:`jobs_only` keeps them out. Meanwhile
:func:`one_blas_thread` keeps NumPy's, SciPy's and numba's matrix products on one thread each: their BLAS library has
one pool of threads for the whole process, and callers that ask it at the same time wait for one another. (PyTorch's own
products are not affected. A BLAS library that uses OpenMP has as many threads as its caller, which is one within
:func:`on_all_cores`.)
:func:`keep_freed_memory` tunes the C library's allocator; commands that compute call it once, and importing this module
changes nothing.
"""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Barrier, BrokenBarrierError, Lock, local
from typing import Any, TypeVar

import torch
from threadpoolctl import OpenBLASController, ThreadpoolController

Job, Result = TypeVar("Job"), TypeVar("Result")
START_SECONDS = 60.0
"""Longest time that a worker thread may take to start."""


def set_torch_threads(count: int) -> None:
    """Set the number of threads that PyTorch and :func:`on_all_cores` use; ``count`` 0 does not change the number."""
    if count:
        torch.set_num_threads(count)


# --------------------------------------------------------------------------------------------- jobs for all cores
_pool_start = Lock()
_cores_for_jobs = local()


def cores() -> int:
    """Return how many threads :func:`on_all_cores` uses in the calling thread."""
    return getattr(_cores_for_jobs, "count", None) or torch.get_num_threads()


@contextmanager
def jobs_only() -> Iterator[None]:
    """Give PyTorch's own operations one thread in the calling thread within the block, but :func:`on_all_cores` as many
    as before; blocks may nest."""
    before = getattr(_cores_for_jobs, "count", None)
    _cores_for_jobs.count = cores()
    try:
        with torch_threads(1):
            yield
    finally:
        _cores_for_jobs.count = before


def on_all_cores(jobs: Iterable[Job], work: Callable[[Job], None]) -> None:
    """Call ``work`` on every job, without gradients, in as many threads as PyTorch has in the calling thread (those
    that it had before, within :func:`jobs_only`).

    Within a job PyTorch has one thread, so a call of this function inside a job runs in the job's thread. A single job
    runs in the calling thread and may use all of PyTorch's threads. Where no thread can be started or given work, as
    while the program ends, the calling thread does all. After an error or an interruption no further job begins, and
    the jobs that are running are waited for.

    Raises:
        BaseException: the first error that a job raised.
    """
    threads = cores()
    todo = deque(jobs)

    if threads == 1 or len(todo) <= 1:
        _work_until_done(todo, work)
        return
    running: list[Future] = []
    try:
        _add_workers(running, threads, todo, work)
        wait(running)
    except BaseException:
        todo.clear()
        wait(running)
        raise
    for finished in running:
        finished.result()


def _add_workers(running: list[Future], threads: int, todo: deque, work: Callable[[Any], None]) -> None:
    """Let so many threads take jobs from a queue, and add each to ``running``; if the pool takes no work any more, do
    the jobs here."""
    try:
        with _pool_start:
            workers = _workers(threads)
        for _ in range(threads):
            running.append(workers.submit(_work_until_done, todo, work))
    except BrokenBarrierError:
        raise
    except RuntimeError:  # also of a program whose main thread has ended
        with torch_threads(1):
            _work_until_done(todo, work)


@torch.inference_mode()
def _work_until_done(todo: deque, work: Callable[[Any], None]) -> None:
    """Take jobs from the queue until it is empty; an error empties it."""
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


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call functions at the same time, each in a thread in which PyTorch has one thread; return their results in order.

    The first function runs in the calling thread. Every function is waited for, also after an error.

    Raises:
        BaseException: the first error, in the order of the functions, that is no BrokenBarrierError, or else the first.
    """
    with _pool_start:
        workers = _workers(len(jobs))
    running: list[Future] = [Future(), *(workers.submit(job) for job in jobs[1:])]
    with torch_threads(1):
        try:
            running[0].set_result(jobs[0]())
        except BaseException as error:  # noqa: BLE001  raised below, when the others have ended
            running[0].set_exception(error)
        wait(running)
    errors = [error for error in (job.exception() for job in running) if error is not None]
    for error in [*(error for error in errors if not isinstance(error, BrokenBarrierError)), *errors]:
        raise error
    return [job.result() for job in running]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads to ``count`` in the calling thread within the block, and restore it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Start a pool of threads, in each of which PyTorch has one thread."""
    started, before = Barrier(threads + 1, timeout=START_SECONDS), torch.get_num_threads()

    def start() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes over the default when it first asks: now, while that is 1
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
        torch.set_num_threads(before)  # each worker has made 1 the default of threads to come
    return workers


# ----------------------------------------------------------------------------------------- matrix products of BLAS
class _BlasLimit:
    """Limits BLAS to one thread while at least one caller needs it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limit = ExitStack()
        # threadpoolctl lets only the thread that set a limit first lift it: all calls go through one thread.
        self._thread = ThreadPoolExecutor(1, "blas")

    def enter(self) -> None:
        with self._lock:
            if self._users == 0:
                self._call(self._apply)
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._call(self._limit.close)

    def _call(self, work: Callable[[], None]) -> None:
        try:
            called = self._thread.submit(work)
        except RuntimeError:  # the program ends, and the thread takes no work any more
            OpenBLASController.clear_controlling_thread(force=True)
            work()
        else:
            called.result()

    def _apply(self) -> None:
        # A program that has set a limit of its own, in another thread, would keep this one from having an effect.
        OpenBLASController.clear_controlling_thread(force=True)
        self._limit.enter_context(_blas().limit(limits=1))


_blas_limit = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Give each matrix product of NumPy, SciPy and numba one thread within the block.

    Blocks may nest and overlap in several threads; when the last block ends, the number of threads is restored.
    """
    limit = _blas_limit
    limit.enter()
    try:
        yield
    finally:
        limit.leave()


@cache
def _blas() -> ThreadpoolController:
    import scipy.linalg.cython_blas  # noqa: F401  numba multiplies with it; loaded now, so that it is found

    return ThreadpoolController().select(user_api="blas")


def _start_anew_after_fork() -> None:
    """Replace pools and locks in a forked process, which has neither the pools' threads nor the threads that hold the
    locks; it computes with one thread.
    """
    global _pool_start, _blas_limit
    _pool_start = Lock()
    _workers.cache_clear()
    _blas_limit = _BlasLimit()
    torch.set_num_threads(
        1
    )  # PyTorch's own threads have not been forked either, and would be waited for without end


os.register_at_fork(after_in_child=_start_anew_after_fork)

# --------------------------------------------------------------------------------------------------------- memory
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for later tensors; return False if the C library is not glibc.

    By default glibc maps new memory for each large tensor and unmaps it when the tensor is freed. The page faults of
    the next large tensor can then cost more than its arithmetic.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _LARGEST_INT, _TOP_PAD: 2**26}
    return all([mallopt(name, value) for name, value in settings.items()])
