"""Work shared by processes: in order, errors passed on, and no endless wait for a process that has died."""

import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from anifacegan.runtime.errors import InputError, LostWorkerError
from anifacegan.runtime.processes import map_in_processes


def with_pid(label: str, job: int) -> tuple[int, int]:
    if job == 4:
        raise InputError(f"{label}: job {job} is refused")
    return job, os.getpid()


def dying(label: str, job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)  # as Linux does where memory is too small
    time.sleep(0.01)
    return job


def test_results_come_in_order_from_other_processes_and_errors_are_raised_here() -> None:
    results = []
    with pytest.raises(InputError, match="x.png: job 4 is refused"):
        for result in map_in_processes(with_pid, "x.png", range(6), processes=2, chunk=1):
            results.append(result)
    assert [job for job, _ in results] == [0, 1, 2, 3]
    assert os.getpid() not in {pid for _, pid in results}


def test_one_process_is_this_one() -> None:
    assert list(map_in_processes(with_pid, "", [1], processes=4)) == [(1, os.getpid())]


def test_a_process_that_is_killed_ends_the_work() -> None:
    with pytest.raises(LostWorkerError, match="one of 2 processes has ended before its work"):
        list(map_in_processes(dying, "", range(8), processes=2, chunk=1))


def test_ctrl_c_while_processes_start_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ProcessPoolExecutor.submit

    def interrupted(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return start(*arguments, **options)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(map_in_processes(with_pid, "", range(4), processes=2, chunk=1))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def waiting(label: str, job: int) -> int:
    time.sleep(0.02)
    return job


def test_work_that_is_broken_off_leaves_no_failing_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's own thread failed where jobs were cancelled and processes ended at once."""
    failures: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    results = map_in_processes(waiting, "", range(400), processes=2, chunk=1)
    assert next(results) == 0
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert failures == []


def after_ctrl_c(label: str, job: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)  # as a terminal does to all processes of a command
    return job


def test_other_processes_leave_ctrl_c_to_the_first() -> None:
    assert list(map_in_processes(after_ctrl_c, "", range(4), processes=2, chunk=1)) == [0, 1, 2, 3]
