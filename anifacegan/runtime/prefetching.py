"""Values that a thread computes in advance, in order: the batches of coming steps while a GPU is at work.

A thread and not worker processes (torch's DataLoader): what is drawn are small tables and a few decoded images, whose
libraries release Python's lock; the tables are not copied into every process; and a batch is a function of its step, so
nothing about workers or queues has to be saved for a resumed run.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def prefetched(compute: Callable[[int], Value], last: int, ahead: int) -> Iterator[Callable[[int], Value]]:
    """Yield a function that returns ``compute(number)``, to be called with rising numbers.

    A thread computes up to ``ahead`` of the numbers that follow the one asked for, up to ``last``; with 0, every value
    is computed when it is asked for. An error is raised where its value is asked for.
    """
    if not ahead:
        yield compute
        return
    waiting: dict[int, Future[Value]] = {}
    with ThreadPoolExecutor(1, thread_name_prefix="prefetching") as thread:

        def value(number: int) -> Value:
            for coming in range(number, min(number + ahead, last) + 1):
                if coming not in waiting:
                    waiting[coming] = thread.submit(compute, coming)
            return waiting.pop(number).result()

        try:
            yield value
        finally:
            for future in waiting.values():
                future.cancel()
