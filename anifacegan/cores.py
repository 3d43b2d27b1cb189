"""Jobs for all cores of a CPU: each takes one after the other, and does all of it alone.

The fields' layers are so small that cores which share one product wait for each other longer than they compute.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

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


def _forget() -> None:
    """A fork has no threads, and nobody who would give the lock back."""
    global _starting
    _starting = Lock()
    _workers.cache_clear()


os.register_at_fork(after_in_child=_forget)
