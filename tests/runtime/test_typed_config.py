"""YAML and options become a configuration; a mistake becomes one line that names it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import yaml

from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.field_types import require_types
from anifacegan.runtime.typed_config import from_plain, plain, read_config


@dataclass(frozen=True)
class Inner:
    width: int = 3
    """A width that is nested."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError("width", self.width, "at least 1")


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
    two_words: str = "w"
    kind: Literal["auto", "cpu"] = "auto"
    inner: Inner = field(default_factory=Inner)
    option: Inner | None = None
    """A group that may be left out."""

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


def test_a_list_is_given_once_and_a_single_value_may_be_given_again() -> None:
    assert "--words is given twice" in message("--words", "smile", "--two_words", "b", "--words", "blink")
    assert "--two_words is given twice" not in message("--two-words", "a", "--two_words", "b", "--nope")
    assert read("--name", "a", "--name", "b", "--inner.width", "1", "--inner.width", "2") == Settings(
        name="b", inner=Inner(2)
    )


def test_a_word_before_the_options_and_its_own_option_are_not_both_taken() -> None:
    with pytest.raises(InputError, match="name is given as 'a' and as --name, expected one of them"):
        read_config(Settings, ["a", "--name", "b"], "test.py", leading=("name", "kind"))


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
        (("--two-words", "a-b"), Settings(two_words="a-b")),
        (("--two-words=a-b",), Settings(two_words="a-b")),
        (("--switch",), Settings(switch=True)),
        (("--switch", "--name", "b"), Settings(switch=True, name="b")),
        (("--switch", "false"), Settings(switch=False)),
        (("--path", "a b.mat"), Settings(path=Path("a b.mat"))),
        (("--path", "null"), Settings(path=None)),
        (("--path", "~"), Settings(path=None)),
        (("--path", "#7.npz"), Settings(path=Path("#7.npz"))),
        (("--inner.width", "5"), Settings(inner=Inner(5))),
        (("--option.width", "5"), Settings(option=Inner(5))),
        (("--option={width: 5}",), Settings(option=Inner(5))),
        (("--option={width: 5}", "--option", "null"), Settings(option=None)),
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
        (("--nope", "3"), "test.py: unknown option '--nope', --help shows all"),
        (("--numbers", "x"), "test.py: numbers is x, expected a whole number or a list, each a whole number"),
        (
            ("--numbers", "1.5"),
            "test.py: numbers is 1.5, expected a whole number or a list, each a whole number",
        ),
        (("--numbers",), "--numbers: no value given, expected a whole number or a list, each a whole number"),
        (("--numbers", "0"), "test.py: numbers is 0, expected something else"),
        (("--kind", "tpu"), "test.py: kind is tpu, expected one of auto, cpu"),
        (("--switch", "maybe"), "test.py: switch is maybe, expected true or false"),
        (("--path", "a", "b"), "--path: got 'a b', expected a path or null"),
        (("--path", ""), "--path: no value given, expected a path or null"),
        (("--inner.width", "x"), "test.py: inner.width is x, expected a whole number"),
        (("--option.width", "x"), "test.py: option.width is x, expected a whole number"),
        (("--option.width", "0"), "test.py: option.width is 0, expected at least 1"),
        (("--inner.width", "0"), "test.py: inner.width is 0, expected at least 1"),
        (("--option.wdith=3",), "test.py: unknown option '--option.wdith', did you mean '--option.width'?"),
        (("--two-wrods", "3"), "test.py: unknown option '--two-wrods', did you mean '--two_words'?"),
        (("--option", "#"), "test.py: option is #, expected keys and values (width) or null"),
        (("--option", "3"), "test.py: option is 3, expected keys and values (width) or null"),
        (("stray",), "test.py: unrecognized arguments: stray, expected only options (--NAME VALUE)"),
        (("--config",), "--config: no value given, expected a path"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], expected: str) -> None:
    assert message(*arguments) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: b\n", "unknown key 'nam', did you mean 'name'?"),
        ("inner: {widht: 3}\n", "unknown key 'inner.widht', did you mean 'inner.width'?"),
        ("option: {widht: 3}\n", "unknown key 'option.widht', did you mean 'option.width'?"),
        ("zzz: 3\n", "unknown key 'zzz', expected one of name, numbers, path"),
        ("- 3\n", "holds a list, expected keys and values"),
        ("", "is empty, expected a YAML configuration"),
        ('path: ""\n', "path: an empty text is no path"),
        ('option: " "\n', "option is  , expected keys and values (width) or null"),
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
    assert message("--config", str(path)) == f"{path}: no such file or folder, expected a YAML configuration"


def test_a_wrong_value_in_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("ramp: [0.1, wide]\n")
    assert "ramp is [0.1, 'wide'], expected a number or a list" in message(
        "--config", str(tmp_path / "a.yaml")
    )
    (tmp_path / "a.yaml").write_text("option: {width: wide}\n")
    assert "option.width is wide, expected a whole number" in message("--config", str(tmp_path / "a.yaml"))


def test_plain_values_become_what_they_came_from() -> None:
    settings = Settings(numbers=(4, 5), path=Path("a b"), option=Inner(5))
    values = plain(settings)
    assert values["numbers"] == [4, 5] and values["path"] == "a b" and values["option"] == {"width": 5}
    assert from_plain(Settings, values, "here") == settings
    assert from_plain(Settings, {}, "here") == Settings()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"nam": 1}, "here: unknown key 'in.nam', did you mean 'in.name'?"),
        ({"option": {"widht": 1}}, "here: unknown key 'in.option.widht', did you mean 'in.option.width'?"),
        ({"option": {"width": "x"}}, "here: in.option.width is x, expected a whole number"),
        ({"inner": {"width": "x"}}, "here: in.inner.width is x, expected a whole number"),
        ({"inner": {"width": 0}}, "here: in.inner.width is 0, expected at least 1"),
        ({"numbers": 0}, "here: in: numbers is 0, expected something else"),
        (
            {"numbers": True},
            "here: in.numbers is True, expected a whole number or a list, each a whole number",
        ),
        ({"name": 5}, "here: in.name is 5, expected text"),
        ({"switch": 1}, "here: in.switch is 1, expected true or false"),
        ({"inner": None}, "here: in.inner is null, expected keys and values (width)"),
        ({"path": [1]}, "here: in.path is [1], expected a path or null"),
    ],
)
def test_wrong_plain_values_are_named(values: dict, expected: str) -> None:
    with pytest.raises(InputError) as error:
        from_plain(Settings, values, "here", "in.")
    assert str(error.value) == expected


def test_a_whole_number_that_is_too_large_for_a_float_is_refused_by_name(tmp_path: Path) -> None:
    assert "ramp is 9999" in message("--ramp", "9" * 400)
    (tmp_path / "a.yaml").write_text(f"ramp: {'9' * 400}\n")
    assert "ramp is 9999" in message("--config", str(tmp_path / "a.yaml"))


def test_only_the_help_uses_argparse() -> None:
    root = Path(__file__).resolve().parents[2]
    sources = [*root.glob("anifacegan/**/*.py"), *root.glob("scripts/*.py"), *root.glob("*.py")]
    imports = re.compile(r"(import|from) (json)?argparse")
    knowing = [path.name for path in sources if imports.search(path.read_text())]
    assert knowing == ["option_help.py"]


def test_help_shows_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read("--help")
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert "A group that may be left out." in text and "--option.width WIDTH" in text
    assert "(one or more whole numbers; default: 1 2)" in " ".join(text.split())
    assert (
        "Numbers of a test." in text and "A width that is nested." in text and "Settings of a test." in text
    )


def test_the_resolved_configuration_is_printed_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read("--print_config", "--option.width", "5")
    assert end.value.code == 0
    assert from_plain(Settings, yaml.safe_load(capsys.readouterr().out), "here") == Settings(option=Inner(5))


def test_printing_the_configuration_can_be_switched_off_and_takes_no_other_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert read("--print_config", "false", "--option.width", "5") == Settings(option=Inner(5))
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="print_config is blah, expected true or false"):
        read("--print_config", "blah")
    with pytest.raises(SystemExit):
        read("--print_config=true")


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.yaml").write_text("path: ~/a.mat\nname: ~/a\n")
    assert read("--config", "~/a.yaml") == Settings(path=tmp_path / "a.mat", name="~/a")
    assert read("--path=~/b.mat").path == tmp_path / "b.mat"
    assert from_plain(Settings, {"path": "~/c.mat"}, "here").path == tmp_path / "c.mat"


@dataclass(frozen=True)
class Narrow:
    """An outer configuration that starts its inner one elsewhere, and one that has to be given."""

    needed: Settings
    rate: float
    inner: Inner = field(default_factory=lambda: Inner(7))
    levels: tuple[float, ...] = ()


def test_a_group_keeps_the_defaults_that_its_owner_gives_it() -> None:
    read_back = from_plain(Narrow, {"needed": {}, "rate": "1e-3", "levels": [1, 2.5]}, "here")
    assert read_back == Narrow(Settings(), 1e-3, Inner(7), (1.0, 2.5))
    assert read_config(Narrow, ["--rate", "-1e-3", "--levels", "3"], "t") == Narrow(
        Settings(), -1e-3, levels=(3.0,)
    )


@dataclass(frozen=True)
class Lists:
    """Values of which there may be several, but none that stands alone."""

    names: tuple[str, ...] | None = None
    """Names."""
    levels: tuple[float, ...] = ()
    """Levels."""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("smile",), ("smile",)),
        (("smile", "blink"), ("smile", "blink")),
        (("[smile, blink]",), ("smile", "blink")),
        (("null",), None),
        (("#smile",), ("#smile",)),
        ((" ",), (" ",)),
    ],
)
def test_a_list_may_have_one_word(words: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    assert read_config(Lists, ["--names", *words, "--levels", "1"], "test") == Lists(expected, (1.0,))


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="^here: no value for 'rate', expected a number$"):
        from_plain(Narrow, {}, "here")


@dataclass(frozen=True)
class Made:
    """What a program makes itself."""

    kind: Literal["avatar", "model"] = "avatar"
    steps: int = 3
    share: float = 0.5
    loud: bool = False
    path: Path | None = None

    def __post_init__(self) -> None:
        require_types(self)


def test_a_configuration_that_a_program_makes_has_values_of_its_types() -> None:
    Made("model", np.int64(4), 1, True, Path("a"))  # type: ignore[arg-type]
    Made(share=np.float32(0.25))  # type: ignore[arg-type]
    for values, expected in (
        ({"kind": "x"}, "kind is x, expected one of avatar, model"),
        ({"steps": 2.5}, "steps is 2.5, expected a whole number"),
        ({"steps": "5"}, "steps is 5, expected a whole number"),
        ({"steps": True}, "steps is True, expected a whole number"),
        ({"share": "0.5"}, "share is 0.5, expected a number"),
        ({"share": None}, "share is None, expected a number"),
        ({"loud": 1}, "loud is 1, expected true or false"),
    ):
        with pytest.raises(ConfigError) as refused:
            Made(**values)
        assert str(refused.value) == expected
