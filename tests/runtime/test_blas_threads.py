"""Matrix products have one thread while somebody asks for that, and what they had before and after."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import scipy.linalg.cython_blas  # noqa: F401  loads the BLAS that is counted here
import torch
from threadpoolctl import ThreadpoolController

from anifacegan.models import numba_fields, numba_kernels
from anifacegan.runtime.cpu import on_all_cores, one_blas_thread
from tests.fixtures.thread_counts import pytorch_threads
from tests.models.test_numba_fields import fields


@pytest.fixture
def threads() -> Iterator[Callable[[], set[int]]]:
    """How many threads NumPy's and SciPy's BLAS have now; three to begin with."""
    blas = ThreadpoolController().select(user_api="blas")
    if not blas.lib_controllers:
        pytest.skip("threadpoolctl knows none of the BLAS libraries here")
    before = blas.info()
    for library in blas.lib_controllers:
        library.set_num_threads(3)
    _let_go()
    yield lambda: {library["num_threads"] for library in blas.info()}
    for library, was in zip(blas.lib_controllers, before, strict=True):
        library.set_num_threads(was["num_threads"])
    _let_go()


def _let_go() -> None:
    """threadpoolctl listens to the thread that was first until it leaves a limit."""
    with ThreadpoolController().limit(limits=None):
        pass


def test_products_have_one_thread_inside(threads: Callable[[], set[int]]) -> None:
    assert threads() == {3}
    with one_blas_thread():
        assert threads() == {1}
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {3}
    with pytest.raises(ArithmeticError), one_blas_thread():
        raise ArithmeticError
    assert threads() == {3}


def test_the_last_of_two_who_overlap_gives_them_back(threads: Callable[[], set[int]]) -> None:
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
        assert threads() == {1}
    assert threads() == {3}


@pytest.mark.parametrize("count", [1, 2])
def test_fields_multiply_with_one_thread_in_every_core(
    count: int, threads: Callable[[], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    compiled = numba_kernels.add_heads

    def counted(*arguments: object) -> None:
        seen.append(threads())
        compiled(*arguments)

    fast, x = numba_fields.with_numba_fields(fields()), 0.1 * torch.rand(1, 50, 3)
    expected = fast.offset(x)
    monkeypatch.setattr(numba_kernels, "add_heads", counted)
    with pytorch_threads(count):
        np.testing.assert_allclose(fast.offset(x), expected, atol=1e-6)
        on_all_cores(range(4), lambda job: fast.offset(x))
    assert len(seen) == 5 and all(found == {1} for found in seen)
    assert threads() == {3}
