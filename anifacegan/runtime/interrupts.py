"""Steps that Ctrl-C and its like may not cut in two."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command and can be caught: Ctrl-C, ``kill`` and a terminal that closes."""


@contextmanager
def interrupts_put_off(signals: Sequence[signal.Signals] = INTERRUPTS) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP, or those of them that ``signals`` names, wait until the block ends, in the main
    thread; in others, which get none, do nothing.

    A signal that is ignored, or that another library than Python's handles, stays as it is. One that came is delivered
    when the handlers are as before, once, however often it came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: set[signal.Signals] = set()
    with ExitStack() as stack:  # it restores and delivers all, also where one of them raises
        for number in signals:
            stack.callback(lambda number=number: number in came and signal.raise_signal(number))
        for number in signals:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                handler = signal.signal(number, lambda number, _: came.add(signal.Signals(number)))
                stack.callback(signal.signal, number, handler)
        yield
