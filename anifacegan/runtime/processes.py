"""A pool of processes that each hold a copy of what their task needs, such as a renderer or a mesh."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from anifacegan.runtime.errors import LostWorkerError
from anifacegan.runtime.interrupts import interrupts_put_off

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

CHUNK = 8
"""Number of jobs that a process gets at a time."""
_work_on: Callable | None = None
"""The function that this worker process applies to each job, set when the process starts; None in the main process."""


def map_in_processes(
    task: Callable[[Shared, Job], Result],
    shared: Shared,
    jobs: Sequence[Job],
    processes: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[Result]:
    """Yield ``task(shared, job)`` for all jobs, in their order.

    Args:
        task: a function that can be pickled, or a partial one.
        shared: passed to every process, with what it has prepared.
        jobs: second arguments of the task; they can be pickled.
        processes: number of processes; None for one process on each core. With 1, the jobs run in this process.
        chunk: number of jobs that a process gets at a time.

    Raises:
        LostWorkerError: a process was ended from outside, or crashed.
    """
    count = min(processes or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        yield from (task(shared, job) for job in jobs)
        return
    context, others = multiprocessing.get_context("forkserver"), set(multiprocessing.active_children())
    function = task.func if isinstance(task, partial) else task
    context.set_forkserver_preload([function.__module__])  # what it needs is imported once for all processes
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(task, shared))
    workers: list[multiprocessing.process.BaseProcess] = []
    try:
        with _ctrl_c_blocked():  # the new processes never see them: Ctrl-C is this process's to handle
            parts = (jobs[k : k + chunk] for k in range(0, len(jobs), chunk))
            results = deque(pool.submit(_work, part) for part in parts)
            workers += set(multiprocessing.active_children()) - others
        while results:
            yield from results.popleft().result()
    except BrokenProcessPool:
        raise LostWorkerError(
            f"one of {count} processes has ended before its work, as where memory is too small; "
            "expected room for all, or fewer processes"
        ) from None
    except BaseException:
        # Nobody waits for the other jobs. They are not cancelled: the pool's own thread would fail on such jobs.
        for worker in workers:
            worker.terminate()
        raise
    finally:
        pool.shutdown()


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Put off Ctrl-C until the block ends, in the main thread; processes that it starts never get one.

    Starting a process takes seconds where the machine is busy. A signal that were ignored meanwhile would be lost; one
    that is blocked is delivered later, and new processes inherit what is blocked. Threads that block nothing may get
    it, so it is put off, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with interrupts_put_off((signal.SIGINT,)):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start(task: Callable[[Shared, Job], Result], shared: Shared) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also where the server of forks was started by others
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_main_process, daemon=True).start()
    global _work_on
    _work_on = partial(task, shared)


def _end_with_main_process() -> None:
    """Wait for the end of the main process, and end this one: where the main process is killed, the pool's processes
    would wait for jobs for ever."""
    main_process = multiprocessing.parent_process()
    assert main_process is not None, "a process of the pool has been started by another"
    main_process.join()
    os._exit(1)


def _work(jobs: Sequence[Job]) -> list[Result]:
    """Run the task of this worker process on some jobs."""
    assert _work_on is not None, "a process of the pool starts with its task"
    return [_work_on(job) for job in jobs]
