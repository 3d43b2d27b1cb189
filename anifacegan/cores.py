"""Work shared by the cores of a CPU: each takes one job after the other, and does all of it alone.

The fields' layers are so small that cores which share one product wait for each other longer than they compute.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Job = TypeVar("Job")


def share(jobs: Iterable[Job], work: Callable[[Job], None]) -> None:
    """``work`` on each of the jobs, in as many threads as PyTorch has in this one. Without gradients.

    Inside of a job PyTorch has one thread, and so jobs of jobs stay where they are.
    """
    threads = torch.get_num_threads()
    listed = list(jobs)
    todo = iter(listed)

    @torch.inference_mode()
    def take_turns() -> None:
        for job in todo:
            work(job)

    if threads == 1 or len(listed) <= 1:
        take_turns()
        return
    for taken in [_workers(threads).submit(take_turns) for _ in range(threads)]:
        taken.result()


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch computes alone."""
    started = Barrier(threads + 1)

    def start() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the default at its first question: now, while that is 1
        started.wait()

    workers = ThreadPoolExecutor(threads, "core", start)
    for _ in range(threads):
        workers.submit(int)
    started.wait()
    torch.set_num_threads(threads)  # each of them has made 1 the default of threads to come
    return workers


os.register_at_fork(after_in_child=_workers.cache_clear)  # a fork has no threads
