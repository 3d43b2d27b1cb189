"""Work shared by processes: in order, errors passed on, and no endless wait for a process that has died."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
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


def endless(label: str, job: int) -> int:
    (Path(label) / str(os.getpid())).touch()
    time.sleep(600)
    return job


@pytest.mark.parametrize("at_work", [True, False])
def test_processes_end_where_the_first_one_is_killed(at_work: bool, tmp_path: Path) -> None:
    """While they work, and while they wait for jobs."""
    task = "endless" if at_work else "with_pid_noted"
    code = (
        "import sys, time\n"
        "from anifacegan.runtime.processes import map_in_processes\n"
        f"from tests.runtime.test_processes import {task} as task\n"
        "for _ in map_in_processes(task, sys.argv[1], range(2), processes=2, chunk=1):\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as first:
        workers = after_a_while(lambda: [int(path.name) for path in tmp_path.iterdir()], 2)
        first.kill()
    assert after_a_while(lambda: [pid for pid in workers if is_running(pid)], 0) == []


def with_pid_noted(label: str, job: int) -> int:
    (Path(label) / str(os.getpid())).touch()
    time.sleep(0.5)  # so long that the other process gets the other job
    return job


def after_a_while(find: Callable[[], list[int]], count: int) -> list[int]:
    """Return what is found as soon as it is so many, or after 30 seconds."""
    end = time.monotonic() + 30
    while len(found := find()) != count and time.monotonic() < end:
        time.sleep(0.05)
    return found


def is_running(pid: int) -> bool:
    """Return whether a process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
