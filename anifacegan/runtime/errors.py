"""What the user got wrong, in one line."""

import math
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: the message names the file or option, what came, and what is expected."""


class ConfigError(InputError):
    """A value that a configuration refuses. ``key`` is the field as the configuration itself calls it; whoever reads
    the configuration as a part of another one puts the other's key before the message.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(f"{key} is {value}, expected {expected}")


def require_at_least(config: object, bound: int | float, *names: str) -> None:
    """Refuse fields that are less than a bound, or not finite.

    Raises:
        ConfigError: names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not (value >= bound and math.isfinite(value)):
            raise ConfigError(name, value, f"at least {bound}")


def require_above(config: object, bound: int | float, *names: str) -> None:
    """Refuse fields that are not more than a bound, or not finite.

    Raises:
        ConfigError: names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not (value > bound and math.isfinite(value)):
            raise ConfigError(name, value, f"more than {bound}")


def first_line(error: BaseException) -> str:
    """The first line, of at most 120 characters, that an exception says; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """The last line instead: of an exception that quotes a traceback, what it is about."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:120] if lines else type(error).__name__


def exit_code(error: BaseException) -> int:
    """The exit code of a command that an exception ends: 2 for bad input or a failing disk, 130 for Ctrl-C, else 1."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, (InputError, OSError)) else 1


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """End a command whose block fails with one line on stderr and an exit code.

    The code is 2 for an InputError or a failing disk, 1 for a loss that is not finite, 130 for Ctrl-C, and 0, without a
    line, where the reader of standard output has gone (``| head``).
    """
    try:
        try:
            yield
        except SystemExit:  # of --help and --print_config
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # a reader that has gone is noticed here
    except BrokenPipeError as error:
        if not _stdout_is_broken():
            raise _exit(error, f"error: {error}") from None
        raise SystemExit(0) from None
    except (InputError, OSError, FloatingPointError) as error:
        raise _exit(error, f"error: {error}") from None
    except KeyboardInterrupt as interrupt:
        raise _exit(interrupt, "interrupted") from None


def _exit(error: BaseException, line: str) -> SystemExit:
    print(line, file=sys.stderr)
    return SystemExit(exit_code(error))


def _stdout_is_broken() -> bool:
    """Whether standard output is a pipe that nobody reads; Python is then kept from writing to it at its end."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        broken = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
        if broken:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:  # a standard output that is no file
        return False
    return broken


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """The first warning of the block on stderr, with the number of others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = list(dict.fromkeys(str(warning.message) for warning in caught))
    if messages:
        others = f" (and {len(messages) - 1} more warnings like this)" if len(messages) > 1 else ""
        print(f"warning: {messages[0]}{others}", file=sys.stderr)
