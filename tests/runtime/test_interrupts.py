"""Ctrl-C and its like wait until a step is done, and none is lost."""

import signal
import threading

import pytest

from anifacegan.runtime.interrupts import interrupts_put_off


def test_each_signal_comes_after_the_block_and_ignored_ones_stay_ignored() -> None:
    came: list[int] = []
    handlers = {
        signal.SIGINT: lambda number, _: came.append(number),
        signal.SIGTERM: lambda number, _: came.append(number),
        signal.SIGHUP: signal.SIG_IGN,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with interrupts_put_off():
            for number in (*handlers, signal.SIGINT):
                signal.raise_signal(number)
            assert came == []
        assert sorted(came) == [signal.SIGINT, signal.SIGTERM]
        assert {number: signal.getsignal(number) for number in handlers} == handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_error_of_the_block_and_a_signal_both_leave_the_handlers_as_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as raised, interrupts_put_off():
            signal.raise_signal(signal.SIGINT)
            raise ValueError
        assert isinstance(raised.value.__context__, ValueError)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_use_it() -> None:
    """Only the main thread can set handlers, and only it gets signals."""
    done: list[bool] = []

    def work() -> None:
        with interrupts_put_off():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
