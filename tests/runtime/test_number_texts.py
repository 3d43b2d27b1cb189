"""Texts are numbers where people would say so."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.number_texts import real_number_of
from anifacegan.runtime.typed_config import read_config

NO_NUMBERS = (
    "1_000",
    "1_0.5",
    "1e1_0",
    "\u0661\u0662",
    "\uff11",
    "1,5",
    "0x10",
    "1e",
    ".",
    "",
    "--1",
    "1 0",
    "\u00bd",
)


@dataclass(frozen=True)
class Options:
    whole: int = 0
    share: float = 0.0
    several: tuple[int, ...] = ()


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_only_python_takes_for_a_number_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        real_number_of(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), (" -2.5 ", -2.5), (".5", 0.5), ("5.", 5), ("1e-3", 1e-3), ("+1E+2", 100), ("-inf", -math.inf)],
)
def test_numbers_are_read(text: str, value: float) -> None:
    assert real_number_of(text) == value


def test_not_a_number_is_read_so_that_its_reader_can_name_it() -> None:
    assert math.isnan(real_number_of("NaN"))


@pytest.mark.parametrize("text", ["1_000", "\u0661", "\uff11\uff12"])
@pytest.mark.parametrize("key", ["whole", "share", "several"])
def test_options_and_yaml_refuse_them(key: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{key}: {text}", encoding="utf-8")
    for words in ((f"--{key}", text), ("--config", str(tmp_path / "a.yaml"))):
        with pytest.raises(InputError, match=rf"{key} is .*, expected a"):
            read_config(Options, words, "test")
