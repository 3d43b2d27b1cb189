"""What every mistake of a user has to be: one line that names it."""

from collections.abc import Callable

import pytest

from anifacegan.errors import InputError


def assert_one_line(function: Callable[[], object], *parts: str) -> None:
    """The function refuses its input with one line, in which all the parts are."""
    with pytest.raises(InputError) as error:
        function()
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)
