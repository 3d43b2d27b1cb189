"""Images and surfaces of many people, by several processes that each have a copy of the synthetic renderer."""

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
"""Jobs that a process takes at a time."""
_work_on: Callable | None = None
"""What a worker process does with its jobs: set once, when it starts."""


def map_in_processes(
    task: Callable[[SyntheticRenderer, Job], Result],
    renderer: SyntheticRenderer,
    jobs: Sequence[Job],
    processes: int | None = None,
) -> Iterator[Result]:
    """``task(synthetic renderer, job)`` of all jobs in their order; ``task`` is a function that can be pickled.

    ``processes`` is one a core where it is None; a single one is this one. The caller loads the synthetic renderer: a file that
    is no face model has to be refused before there are processes, as a pool whose processes fail at their start goes
    on starting them for ever.
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
    """Do one job in a worker process."""
    assert _work_on is not None, "a process of the pool starts with its task"
    return _work_on(job)
