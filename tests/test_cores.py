"""All jobs are done once, by threads that compute alone, and nobody else notices."""

import multiprocessing
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from anifacegan.cores import share
from tests.thread_counts import pytorch_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with pytorch_threads(request.param):
        yield request.param


@pytest.mark.parametrize("jobs", [0, 1, 2, 95])
def test_every_job_is_done_once(threads: int, jobs: int) -> None:
    counts = torch.zeros(jobs)

    def work(job: int) -> None:
        counts[job] += 1

    share(range(jobs), work)
    assert (counts == 1).all()


def test_as_many_threads_work_as_pytorch_has_and_each_computes_alone(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        met.add((threading.get_ident(), torch.get_num_threads()))
        assert torch.is_inference_mode_enabled()
        time.sleep(0.02)

    share(range(10), work)
    assert len(met) == threads
    assert {count for _, count in met} == {1}


def test_jobs_of_a_job_are_done_by_its_thread(threads: int) -> None:
    met = set()

    def work(job: int) -> None:
        share(range(3), lambda inner: met.add((job, threading.get_ident())))

    share(range(10), work)
    assert sorted(job for job, _ in met) == list(range(10))


def test_other_threads_keep_their_number_of_threads(threads: int) -> None:
    share(range(10), lambda job: None)
    assert torch.get_num_threads() == threads
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [threads]


@pytest.mark.usefixtures("threads")
def test_what_goes_wrong_in_a_job_is_told() -> None:
    def work(job: int) -> None:
        if job == 5:
            raise ArithmeticError("job 5")

    with pytest.raises(ArithmeticError, match="job 5"):
        share(range(10), work)


def _add_one(total: torch.Tensor) -> None:
    torch.set_num_threads(2)
    share(range(len(total)), lambda job: total[job].add_(1))


@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_has_threads_of_its_own() -> None:
    share(range(10), lambda job: None)
    total = torch.zeros(100).share_memory_()
    child = multiprocessing.get_context("fork").Process(target=_add_one, args=(total,))
    child.start()
    child.join(20)
    child.kill()
    assert (total == 1).all()
