"""What the user got wrong, in one line."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: the message names the file or option, what came, and what is expected."""


def require(
    config: object, owner: str, names: str, at_least: int | float | None = None, above: int | float | None = None
) -> None:
    """Refuse values of a configuration that are too small or not finite. The user knows it as ``owner``; the
    outermost one, whose keys have no dot, is "".

    Raises:
        InputError: names the first such value of ``names`` (several with spaces between), and what is expected.
    """
    for name in names.split():
        value = getattr(config, name)
        large_enough = value > above if above is not None else at_least is None or value >= at_least
        if not (large_enough and math.isfinite(value)):
            bound = f"at least {at_least}" if above is None else f"more than {above}"
            key = f"{owner}.{name}" if owner else name
            raise InputError(f"{key} is {value}, expected {bound}")


def first_line(error: BaseException) -> str:
    """The first line, of at most 120 characters, that an exception says; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """The last line instead: of an exception that quotes a traceback, what it is about."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:120] if lines else type(error).__name__


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Turn an InputError, or a failing disk, into one line on stderr and exit code 2; Ctrl-C into 130."""
    try:
        yield
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
