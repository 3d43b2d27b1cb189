"""Paths as users write them."""

from pathlib import Path

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import exists, user_path
from anifacegan.runtime.resources import found, located, located_model


@pytest.mark.parametrize("text", ["", "a\0b", "~no-such-user-here/a", "x" * 300, "x/" * 3000, "a\ud800"])
def test_what_is_no_path_is_one_line(text: str) -> None:
    for read in (user_path, found, located, located_model):
        with pytest.raises(InputError):
            read(text)


def test_a_name_that_is_too_long_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot be looked up .File name too long"):
        exists(Path("x" * 5000))


def test_the_home_folder_is_found() -> None:
    assert user_path("~/a") == Path.home() / "a" and user_path(Path("b")) == Path("b")
