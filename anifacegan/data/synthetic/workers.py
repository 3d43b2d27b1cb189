"""A pool of processes that each hold a copy of the synthetic renderer."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch

from anifacegan.data.synthetic.renderer import SyntheticRenderer

Job = TypeVar("Job")
Result = TypeVar("Result")

CHUNK = 8
"""Number of jobs that a process gets at a time."""
_work_on: Callable | None = None
"""The function that this worker process applies to each job, set when the process starts; None in the main process."""


def map_in_processes(
    task: Callable[[SyntheticRenderer, Job], Result],
    renderer: SyntheticRenderer,
    jobs: Sequence[Job],
    processes: int | None = None,
) -> Iterator[Result]:
    """Yield ``task(renderer, job)`` for all jobs, in their order.

    Args:
        task: a function that can be pickled.
        renderer: passed to every process; what the renderer has prepared is not computed again in the processes. It
            must be loaded before: a pool restarts a process that fails to load it, without end.
        jobs: second arguments of the task; they can be pickled.
        processes: number of processes; None for one process on each core. With 1, the jobs run in this process.
    """
    count = min(processes or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        yield from (task(renderer, job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=_start, initargs=(task, renderer)) as pool:
        yield from pool.imap(_work, jobs, chunksize=CHUNK)


def _start(task: Callable[[SyntheticRenderer, Job], Result], renderer: SyntheticRenderer) -> None:
    torch.set_num_threads(1)
    global _work_on
    _work_on = partial(task, renderer)


def _work(job: Job) -> Result:
    """Run the task of this worker process on one job."""
    assert _work_on is not None, "a process of the pool starts with its task"
    return _work_on(job)
