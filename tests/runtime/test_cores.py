"""All jobs are done once, by threads that compute alone, and nobody else notices."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from anifacegan.runtime.cpu import _workers, on_all_cores
from tests.fixtures.thread_counts import pytorch_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with pytorch_threads(request.param):
        yield request.param


@pytest.mark.parametrize("jobs", [0, 1, 2, 95])
def test_every_job_is_done_once(threads: int, jobs: int) -> None:
    counts = torch.zeros(jobs)

    def work(job: int) -> None:
        counts[job] += 1

    on_all_cores(range(jobs), work)
    assert (counts == 1).all()


def test_as_many_threads_work_as_pytorch_has_and_each_computes_alone(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        met.add((threading.get_ident(), torch.get_num_threads()))
        assert torch.is_inference_mode_enabled()
        time.sleep(0.02)

    on_all_cores(range(10), work)
    assert len(met) == threads
    assert {count for _, count in met} == {1}


def test_jobs_of_a_job_are_done_by_its_thread(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        on_all_cores(range(3), lambda inner: met.add((job, threading.get_ident())))

    on_all_cores(range(10), work)
    assert sorted(job for job, _ in met) == list(range(10))


def test_other_threads_keep_their_number_of_threads(threads: int) -> None:
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


@pytest.mark.usefixtures("threads")
def test_what_goes_wrong_in_a_job_is_told_and_no_job_begins_after_it() -> None:
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
