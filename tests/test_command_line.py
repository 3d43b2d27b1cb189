"""YAML and options become a configuration; a mistake becomes one line that names it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from anifacegan.command_line import read_config
from anifacegan.errors import InputError


@dataclass(frozen=True)
class Inner:
    width: int = 3
    """A width that is nested."""


@dataclass(frozen=True)
class Settings:
    """Settings of a test."""

    name: str = "a"
    numbers: int | tuple[int, ...] = (1, 2)
    """Numbers of a test."""
    path: Path | None = None
    words: str | tuple[str, ...] = "w"
    ramp: float | tuple[float, ...] = 0.5
    switch: bool = False
    kind: Literal["auto", "cpu"] = "auto"
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.numbers == 0:
            raise ValueError("numbers is 0, expected\nsomething else")


def read(*arguments: str) -> Settings:
    return read_config(Settings, arguments, "test.py")


def message(*arguments: str) -> str:
    with pytest.raises(InputError) as error:
        read(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_given_is_the_defaults() -> None:
    assert read() == Settings()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--numbers", "7"), Settings(numbers=7)),
        (("--numbers", "1", "2", "3"), Settings(numbers=(1, 2, 3))),
        (("--numbers", "1,2,3"), Settings(numbers=(1, 2, 3))),
        (("--numbers=[1, 2]",), Settings(numbers=(1, 2))),
        (("--ramp", "-0.35", "0.35"), Settings(ramp=(-0.35, 0.35))),
        (("--ramp", "-0.35"), Settings(ramp=-0.35)),
        (("--ramp", "-.5,2e-1"), Settings(ramp=(-0.5, 0.2))),
        (("--words", "mat/smile.mat"), Settings(words="mat/smile.mat")),
        (("--words", "a.mat", "smile=0.7,blink=0.3"), Settings(words=("a.mat", "smile=0.7,blink=0.3"))),
        (("--words", "smile=0.7,blink=0.3"), Settings(words="smile=0.7,blink=0.3")),
        (("--words", "it's", "[odd]"), Settings(words=("it's", "[odd]"))),
        (("--name", "1,2"), Settings(name="1,2")),
        (("--switch",), Settings(switch=True)),
        (("--switch", "--name", "b"), Settings(switch=True, name="b")),
        (("--switch", "false"), Settings(switch=False)),
        (("--path", "a b.mat"), Settings(path=Path("a b.mat"))),
        (("--path", "null"), Settings(path=None)),
        (("--inner.width", "5"), Settings(inner=Inner(5))),
    ],
)
def test_options_are_read(arguments: tuple[str, ...], expected: Settings) -> None:
    assert read(*arguments) == expected


def test_options_win_over_files_and_later_files_over_earlier(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: first\nnumbers: [4, 5]\ninner: {width: 9}\n")
    (tmp_path / "b.yaml").write_text("name: second\n")
    files = ("--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml"))
    assert read(*files) == Settings(name="second", numbers=(4, 5), inner=Inner(9))
    assert read(*files, "--name", "third").name == "third"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--nope", "3"), "test.py: unrecognized arguments: --nope=3"),
        (("--numbers", "x"), "test.py: numbers is x, expected a whole number or a list, each a whole number"),
        (("--numbers", "1.5"), "test.py: numbers is 1.5, expected a whole number or a list, each a whole number"),
        (("--numbers",), "--numbers: no value given, expected a whole number or a list, each a whole number"),
        (("--numbers", "0"), "test.py: numbers is 0, expected something else"),
        (("--kind", "tpu"), "test.py: kind is tpu, expected one of auto, cpu"),
        (("--switch", "maybe"), "test.py: switch is maybe, expected true or false"),
        (("--path", "a", "b"), "--path: got 'a b', expected a path or null"),
        (("--path", ""), "--path: no value given, expected a path or null"),
        (("--inner.width", "x"), "test.py: inner.width is x, expected a whole number"),
        (("stray",), "test.py: unrecognized arguments: stray"),
        (("--config",), "--config: no value given, expected text"),
        (("--help", "x"), "--help: takes no further word, got 'x'"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], expected: str) -> None:
    assert message(*arguments) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: b\n", "unknown key 'nam', did you mean 'name'?"),
        ("inner: {widht: 3}\n", "unknown key 'inner.widht', did you mean 'inner.width'?"),
        ("zzz: 3\n", "unknown key 'zzz', expected one of name, numbers, path"),
        ("- 3\n", "holds a list, expected keys and values"),
        ("", "holds a NoneType, expected keys and values"),
        ("name: [1\n", "not readable as YAML (line 2: "),
    ],
)
def test_a_mistake_in_a_file_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert message("--config", str(file)).startswith(f"{file}: {expected}")


def test_bytes_that_are_no_text_are_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00name")
    assert "a.yaml: not readable as YAML" in message(f"--config={tmp_path / 'a.yaml'}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.yaml"
    assert message("--config", str(path)) == f"{path}: no such file, expected a YAML configuration"


def test_a_wrong_value_in_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("ramp: [0.1, wide]\n")
    assert "ramp is [0.1, 'wide'], expected a number or a list" in message("--config", str(tmp_path / "a.yaml"))


def test_help_shows_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read("--help")
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert "Numbers of a test." in text and "A width that is nested." in text and "Settings of a test." in text
