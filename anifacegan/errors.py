"""What the user got wrong, in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: the message names the file or option, what came, and what is expected."""


def first_line(error: BaseException) -> str:
    """The first line, of at most 120 characters, that an exception says; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


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
