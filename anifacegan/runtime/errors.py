"""Errors in a user's input, reported in one line, and the exit codes of commands."""

import math
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Wrong input of a user; the message names the file or option, the value found and what is expected."""


class ConfigError(InputError):
    """A value that a configuration refuses.

    ``key`` is the name of the field. When a configuration that is nested in another one is read, the key of the nested
    one is put before the message.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(f"{key} is {value}, expected {expected}")


def require_at_least(config: object, bound: int | float, *names: str) -> None:
    """Require that fields of a configuration are finite and at least ``bound``.

    Raises:
        ConfigError: a field is not; the message names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not (value >= bound and math.isfinite(value)):
            raise ConfigError(name, value, f"at least {bound}")


def require_above(config: object, bound: int | float, *names: str) -> None:
    """Require that fields of a configuration are finite and above ``bound``.

    Raises:
        ConfigError: a field is not; the message names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not (value > bound and math.isfinite(value)):
            raise ConfigError(name, value, f"more than {bound}")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, cut to 120 characters; the name of its class if the message is
    empty.
    """
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """Return the last line of an exception's message; if the message quotes a traceback, this line is the cause."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:120] if lines else type(error).__name__


def exit_code(error: BaseException) -> int:
    """Return a command's exit code for an exception: 2 for wrong input or a failing disk, 130 for Ctrl-C, else 1."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, (InputError, OSError)) else 1


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """If the block fails, end the command with one line on stderr and an exit code.

    The code is 2 for an InputError or a failing disk, 1 for a loss that is not finite, and 130 for Ctrl-C. If the
    reader of standard output has gone (``| head``), it is 0, and no line is printed.
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
    """Return whether standard output is a pipe that nobody reads. If so, Python will not write to it when the process
    ends.
    """
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
    """Print, on stderr, only the first warning that the block gives, and the number of further warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = list(dict.fromkeys(str(warning.message) for warning in caught))
    if messages:
        others = f" (and {len(messages) - 1} more warnings like this)" if len(messages) > 1 else ""
        print(f"warning: {messages[0]}{others}", file=sys.stderr)
