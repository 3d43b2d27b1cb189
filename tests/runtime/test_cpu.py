"""Jobs run once each in threads of their own, and BLAS has one thread while a block asks for that."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import scipy.linalg.cython_blas  # noqa: F401  loads the BLAS that is counted here
import torch
from threadpoolctl import ThreadpoolController

from anifacegan.models import numba_fields, numba_kernels
from anifacegan.runtime.cpu import (
    _workers,
    cores,
    jobs_only,
    on_all_cores,
    one_blas_thread,
    side_by_side,
    torch_threads,
)
from tests.models.test_numba_fields import fields


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with torch_threads(request.param):
        yield request.param


@pytest.mark.parametrize("jobs", [0, 1, 2, 95])
def test_every_job_is_done_once(threads: int, jobs: int) -> None:
    counts = torch.zeros(jobs)

    def work(job: int) -> None:
        counts[job] += 1

    on_all_cores(range(jobs), work)
    assert (counts == 1).all()


def test_as_many_threads_work_as_pytorch_has_and_pytorch_has_one_in_each(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        met.add((threading.get_ident(), torch.get_num_threads()))
        assert torch.is_inference_mode_enabled()
        time.sleep(0.02)

    on_all_cores(range(10), work)
    assert len(met) == threads
    assert {count for _, count in met} == {1}


def test_nested_jobs_run_in_the_thread_of_their_job(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        on_all_cores(range(3), lambda inner: met.add((job, threading.get_ident())))

    on_all_cores(range(10), work)
    assert sorted(job for job, _ in met) == list(range(10))


def test_pytorchs_number_of_threads_stays_the_same_elsewhere(threads: int) -> None:
    _workers.cache_clear()  # starting them is what might change it
    on_all_cores(range(10), lambda job: None)
    assert torch.get_num_threads() == threads
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [threads]


def test_a_single_job_stays_in_its_thread_and_may_use_all_others(threads: int) -> None:
    met = []
    on_all_cores([0], lambda job: met.append((threading.get_ident(), torch.get_num_threads())))
    assert met == [(threading.get_ident(), threads)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_functions_run_at_the_same_time_with_gradients_and_one_pytorch_thread_each(
    threads: int, count: int
) -> None:
    """They wait for each other, so one after the other they would never end."""
    together = threading.Barrier(count, timeout=60)

    def job(number: int) -> tuple[int, int, bool, int]:
        together.wait()
        return number, torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident()

    found = side_by_side([partial(job, number) for number in range(count)])
    assert [result[:3] for result in found] == [(number, 1, True) for number in range(count)]
    assert found[0][3] == threading.get_ident() and len({result[3] for result in found}) == count
    assert torch.get_num_threads() == threads


def test_the_error_of_a_function_is_raised_and_not_that_of_those_who_waited_for_it() -> None:
    together = threading.Barrier(3, timeout=60)

    def job(number: int) -> None:
        if number == 1:
            together.abort()
            raise ValueError("as planned")
        together.wait()

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="as planned"):
        side_by_side([partial(job, number) for number in range(3)])
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("threads")
def test_an_error_in_a_job_is_raised_and_no_job_begins_after_it() -> None:
    begun = []

    def work(job: int) -> None:
        begun.append(job)
        if job == 5:
            raise ArithmeticError("job 5")
        time.sleep(0.01)

    with pytest.raises(ArithmeticError, match="job 5"):
        on_all_cores(range(100), work)
    then = len(begun)
    time.sleep(0.1)
    assert then == len(begun) < 12


@pytest.mark.usefixtures("threads")
def test_an_interruption_ends_the_work() -> None:
    begun = []

    def work(job: int) -> None:
        begun.append(job)
        if job == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        on_all_cores(range(1000), work)
    signal.signal(signal.SIGINT, before)
    then = len(begun)
    time.sleep(0.1)
    assert then == len(begun) < 100


def _add_one(total: torch.Tensor) -> None:
    torch.set_num_threads(2)
    on_all_cores(range(len(total)), lambda job: total[job].add_(1))


ENDING = """
import atexit, threading, sys
import numpy as np, torch
from anifacegan.runtime.cpu import _blas, on_all_cores, one_blas_thread

torch.set_num_threads(2)

def compute(label):
    done = []
    on_all_cores(range(5), done.append)
    before = {pool["num_threads"] for pool in _blas().info()}
    with one_blas_thread():
        inside = {pool["num_threads"] for pool in _blas().info()}
    after = {pool["num_threads"] for pool in _blas().info()}
    print(label, sorted(done), inside == {1}, before == after, flush=True)

def late():
    threading.main_thread().join()
    compute("late")

if "warm" in sys.argv:
    compute("warm")
with one_blas_thread():
    pass
atexit.register(compute, "exit")
threading.Thread(target=late).start()
"""


@pytest.mark.parametrize("argument", ["warm", "cold"])
def test_jobs_are_done_while_the_program_ends(argument: str) -> None:
    """In a thread that outlives the main thread, and in a function that is called at the exit; no pool takes work."""
    ended = subprocess.run([sys.executable, "-c", ENDING, argument], capture_output=True, text=True)
    labels = ["warm", "late", "exit"] if argument == "warm" else ["late", "exit"]
    assert ended.stdout.splitlines() == [f"{label} [0, 1, 2, 3, 4] True True" for label in labels], (
        ended.stderr
    )
    assert ended.returncode == 0 and ended.stderr == ""


@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_has_threads_of_its_own() -> None:
    on_all_cores(range(10), lambda job: None)
    total = torch.zeros(100).share_memory_()
    child = multiprocessing.get_context("fork").Process(target=_add_one, args=(total,))
    child.start()
    child.join(20)
    child.kill()
    assert (total == 1).all()


# -------------------------------------------------------------------------------------------- one BLAS thread
@pytest.fixture
def blas_threads() -> Iterator[Callable[[], set[int]]]:
    """A function that returns the numbers of threads of NumPy's and SciPy's BLAS, which are three at first."""
    blas = ThreadpoolController().select(user_api="blas")
    if not blas.lib_controllers:
        pytest.skip("threadpoolctl knows none of the BLAS libraries here")
    before = blas.info()
    for library in blas.lib_controllers:
        library.set_num_threads(3)
    _release_threadpoolctl()
    yield lambda: {library["num_threads"] for library in blas.info()}
    for library, was in zip(blas.lib_controllers, before, strict=True):
        library.set_num_threads(was["num_threads"])
    _release_threadpoolctl()


def _release_threadpoolctl() -> None:
    """End a thread's ownership: threadpoolctl obeys only the one that set numbers first, until it leaves a limit."""
    with ThreadpoolController().limit(limits=None):
        pass


def test_products_have_one_thread_inside(blas_threads: Callable[[], set[int]]) -> None:
    assert blas_threads() == {3}
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {3}
    with pytest.raises(ArithmeticError), one_blas_thread():
        raise ArithmeticError
    assert blas_threads() == {3}


def test_products_have_one_thread_inside_a_limit_that_a_program_has_set(
    blas_threads: Callable[[], set[int]],
) -> None:
    """threadpoolctl ignores limits of all threads but the one that set the first."""
    with ThreadpoolController().limit(limits=2):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
    assert blas_threads() == {3}


def test_the_last_of_two_overlapping_blocks_restores_the_number(blas_threads: Callable[[], set[int]]) -> None:
    first_in, first_may_go = threading.Event(), threading.Event()

    def first() -> None:
        with one_blas_thread():
            first_in.set()
            first_may_go.wait(20)

    other = threading.Thread(target=first)
    other.start()
    assert first_in.wait(20)
    with one_blas_thread():
        first_may_go.set()
        other.join()
        assert blas_threads() == {1}
    assert blas_threads() == {3}


@pytest.mark.parametrize("count", [1, 2])
def test_fields_multiply_with_one_thread_in_every_core(
    count: int, blas_threads: Callable[[], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    compiled = numba_kernels.add_heads

    def counted(*arguments: object) -> None:
        seen.append(blas_threads())
        compiled(*arguments)

    fast, x = numba_fields.with_numba_fields(fields()), 0.1 * torch.rand(1, 50, 3)
    expected = fast.offset(x)
    monkeypatch.setattr(numba_kernels, "add_heads", counted)
    with torch_threads(count):
        np.testing.assert_allclose(fast.offset(x), expected, atol=1e-6)
        on_all_cores(range(4), lambda job: fast.offset(x))
    assert len(seen) == 5 and all(found == {1} for found in seen)
    assert blas_threads() == {3}


def test_within_jobs_only_pytorch_has_one_thread_and_jobs_have_all() -> None:
    def threads_of_jobs() -> set[int]:
        found: set[int] = set()
        both = threading.Barrier(3, timeout=20)  # passes only where three jobs run at a time

        def job(_: int) -> None:
            both.wait()
            found.add(torch.get_num_threads())

        on_all_cores(range(3), job)
        return found

    with torch_threads(3):
        with jobs_only():
            assert torch.get_num_threads() == 1 and cores() == 3
            with jobs_only():
                assert threads_of_jobs() == {1} and cores() == 3
            assert cores() == 3
        assert torch.get_num_threads() == 3 and cores() == 3
    with torch_threads(2):
        assert cores() == 2
