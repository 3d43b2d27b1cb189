"""Errors in a user's input, reported in one line, and the exit codes of commands.

Every error that ends a command is one line. A mistake of the program is one line as well, unless the environment
variable ANIFACEGAN_DEBUG is set, as the option ``--debug`` does: then Python prints its traceback.
"""

import dataclasses
import errno
import math
import os
import select
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from io import TextIOWrapper
from typing import Any

from anifacegan.runtime.limits import LARGEST_SEED, largest, memory_bytes

DEBUG_VARIABLE = "ANIFACEGAN_DEBUG"
"""Environment variable that lets the traceback of a mistake of the program through; worker processes inherit it."""
LONGEST_LINE = 300
"""Largest number of characters of a line that reports an error."""
_LINE_HEAD = 200
"""Number of characters at the beginning of a longer line that stay; of its end, as many as then fit."""


_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "failed to map segment")
"""Words of PyTorch, of the operating system, and of the loader of libraries, where memory is too small."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of full disks."""


def printable(text: str) -> str:
    """Return a text, which may come from a file or be the name of one, as one line: line feeds, control characters and
    bytes that are no text are escaped, so that a terminal shows them and does not obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.strip())


def one_line(text: str) -> str:
    """Return a text as :func:`printable` does, at most LONGEST_LINE characters: dots stand for a longer one's
    middle."""
    line = printable(text)
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:_LINE_HEAD]} ... {line[_LINE_HEAD + 5 - LONGEST_LINE :]}"


def say(text: str) -> None:
    """Print what a user should know, but did not ask for, on standard error: :func:`one_line` of a text."""
    print(one_line(text), file=sys.stderr)


say_once = cache(say)
"""Print a text as :func:`say` does, the first time in a process."""


class InputError(ValueError):
    """Wrong input of a user; the message names the file or option, the value found and what is expected."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class LostWorkerError(RuntimeError):
    """Another worker of a training run has ended, or did not respond in time."""


class InexactWarning(UserWarning):
    """Something is done as asked, and less exactly than the user may think."""


class ConfigError(InputError):
    """A value that a configuration refuses.

    ``key`` is the name of the field. When a configuration that is nested in another one is read, the key of the nested
    one is put before the message.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(f"{key} is {value}, expected {expected}")
        self._parts = key, str(value), expected

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, str, str]]:
        """Let a process of a pool send it: pickle would call the class with the message alone."""
        return type(self), self._parts


def require_at_least(config: object, bound: int | float, *names: str) -> None:
    """Require that fields of a configuration are finite, at least ``bound``, and no larger than
    :func:`anifacegan.runtime.limits.largest` says.

    Raises:
        ConfigError: a field is not; the message names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not bound <= value < math.inf:  # a whole number of any length compares
            raise ConfigError(name, value, f"at least {bound}")
        if value > largest(name):
            raise ConfigError(name, value, f"at most {largest(name)}")


def require_unused(config: Any, why: str, *names: str) -> None:
    """Require that fields of a configuration that have no effect were left at their defaults.

    ``why`` says when they have none, such as "with --stills".

    Raises:
        ConfigError: one was not; the message names the first such field, or the first within a nested configuration.
    """
    of_config = {field.name: field for field in dataclasses.fields(config)}
    for name in names:
        field, value = of_config[name], getattr(config, name)
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if value == default:
            continue
        while dataclasses.is_dataclass(value):
            pairs = [
                (part.name, getattr(value, part.name), getattr(default, part.name))
                for part in dataclasses.fields(value)
            ]
            part, value, default = next(pair for pair in pairs if pair[1] != pair[2])
            name = f"{name}.{part}"
        raise ConfigError(name, value, f"no --{name} {why}")


def require_memory(config: object, needed: int | float, *names: str) -> None:
    """Require that this process may use as much memory as fields of a configuration ask for.

    ``needed`` is the estimated number of bytes; ``names`` are the fields on which it depends, the first to blame.

    Raises:
        ConfigError: it may not; the message names the fields, their values, and both numbers of bytes.
    """
    most = memory_bytes()
    if needed > most:
        others = "".join(f", with {name} {getattr(config, name)}" for name in names[1:])
        raise ConfigError(
            names[0],
            getattr(config, names[0]),
            f"less{others}: about {needed / 1e9:.3g} GB of memory are needed, at most {most / 1e9:.3g} GB can be used",
        )


def require_within(config: object, least: int | float, most: int | float, *names: str) -> None:
    """Require that fields of a configuration, or all values of a tuple, lie between two bounds.

    Raises:
        ConfigError: a field does not; the message names the first such field, its value, and the bounds.
    """
    for name in names:
        value = getattr(config, name)
        if not all(least <= item <= most for item in (value if isinstance(value, tuple) else (value,))):
            raise ConfigError(name, value, f"{least} to {most}")


def require_above(config: object, bound: int | float, *names: str) -> None:
    """Require that fields of a configuration are finite and above ``bound``.

    Raises:
        ConfigError: a field is not; the message names the first such field, its value, and the bound.
    """
    for name in names:
        value = getattr(config, name)
        if not bound < value < math.inf:
            raise ConfigError(name, value, f"more than {bound}")


def require_seeds(seeds: Sequence[int]) -> None:
    """Require that there are seeds of people, and that each is one that a person can have, once.

    Raises:
        ValueError: it is not so.
    """
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise ValueError(f"seeds are {list(seeds)}, expected whole numbers from 0 to 2**63 - 1, each once")


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
    """Return a command's exit code for an exception: 130 for Ctrl-C, 1 for a failed computation, else 2."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 1 if isinstance(error, (FloatingPointError, LostWorkerError)) else 2


def error_line(error: BaseException) -> str:
    """Return the line that reports an exception: an operating system's error begins with the file's name."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        full = error.filename is None and error.errno in _FULL
        place = "standard output or a file cannot be written: " if full else f"{error.filename}: "
        message = (place if full or error.filename is not None else "") + error.strerror
    elif isinstance(error, (InputError, OSError, FloatingPointError, LostWorkerError)):
        message = str(error)
    elif isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        message = f"memory is too small ({first_line(error)})"
    else:
        message = f"unexpected {type(error).__name__} ({first_line(error)}); --debug shows where"
    return one_line(f"error: {message}")


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """If the block fails, end the command with one line on stderr and an exit code.

    The code is 2 for an InputError, a failing disk or a mistake of the program, 1 for a loss that is not finite, and
    130 for Ctrl-C. If the reader of standard output has gone (``| head``), it is 0, and no line is printed. If
    DEBUG_VARIABLE is set, errors that are neither of these are raised.
    """
    try:
        try:
            yield
        except SystemExit:  # of --help and --print_config
            _flush_stdout()
            raise
        _flush_stdout()  # a reader that has gone is noticed here
    except BrokenPipeError as error:
        if not _stdout_is_broken():
            raise _exit(error) from None
        raise SystemExit(0) from None
    except (InputError, FloatingPointError, LostWorkerError, KeyboardInterrupt) as error:
        raise _exit(error) from None
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        raise _exit(error) from None


def _flush_stdout() -> None:
    """Write what is left for standard output.

    Raises:
        BrokenPipeError: its reader has gone.
        InputError: it cannot be written, as on a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):  # so that Python does not try again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError(f"standard output: cannot be written ({error.strerror or error})") from None


def _exit(error: BaseException) -> SystemExit:
    with suppress(OSError, ValueError):  # nobody reads standard error
        print(error_line(error), file=sys.stderr, flush=True)
    return SystemExit(exit_code(error))


def open_standard_streams() -> None:
    """Open the null device in place of standard input, output and error where they are closed (``2>&-``).

    Otherwise the next file that is opened would take their place, and libraries would print into it. What standard
    output cannot show, such as names of files that are no UTF-8, is escaped there, as it is in errors.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open as long as the process)
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


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
        say(f"warning: {messages[0]}{others}")


@contextmanager
def inexact_said_in_one_line() -> Iterator[None]:
    """Print, on stderr, each InexactWarning that the block gives, in one line and once."""
    before = warnings.showwarning
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **further: Any) -> None:
        if not issubclass(category, InexactWarning):
            before(message, category, *place, **further)
        elif str(message) not in said:
            said.add(str(message))
            say(f"warning: {message}")

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
