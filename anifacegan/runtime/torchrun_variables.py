"""The environment variables by which torchrun tells a process its place in a group; wrong ones would let it wait for
others that never come, or train alone."""

import os
import re

from anifacegan.runtime.errors import InputError

GIVEN_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LARGEST_PORT = 2**16 - 1
"""Largest number of a port."""


def started_by_torchrun() -> bool:
    """Return whether torchrun's variables make this process one of several, or the only one, of a group.

    Raises:
        InputError: a number is none or too large, or this is one of several processes and a variable is missing.
    """
    count = _number("WORLD_SIZE", 1)
    rank = _number("RANK", 0)
    _number("LOCAL_RANK", 0)
    missing = [name for name in GIVEN_BY_TORCHRUN if name not in os.environ]
    if missing and ((count or 1) > 1 or rank):
        given = next(name for name in ("WORLD_SIZE", "RANK") if name in os.environ)
        raise InputError(
            f"{given} is {os.environ[given]}, but {missing[0]} is not set, expected both, as torchrun sets them, or "
            "neither"
        )
    if missing:
        return False
    if rank is None or count is None or rank >= count:
        raise InputError(f"RANK is {rank}, expected less than WORLD_SIZE, which is {count}")
    port = _number("MASTER_PORT", 1)
    if port is None or port > LARGEST_PORT:
        raise InputError(f"MASTER_PORT is {port}, expected 1 to {LARGEST_PORT}")
    return True


def _number(name: str, least: int) -> int | None:
    """Return the whole number in an environment variable; None if there is no such variable.

    Raises:
        InputError: it is none, or less than ``least``.
    """
    text = os.environ.get(name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise InputError(
            f"{name} is {text!r}, expected a whole number, at least {least}, as torchrun sets it"
        )
    return int(text)
