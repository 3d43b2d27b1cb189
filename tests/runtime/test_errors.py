"""What a command does with bad input: one line, exit code 2."""

import ast
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import anifacegan
from anifacegan.runtime.errors import (
    DEBUG_VARIABLE,
    LONGEST_LINE,
    ConfigError,
    InputError,
    error_line,
    exit_on_input_error,
    first_line,
    printable,
    require_above,
    require_at_least,
    say,
)


@pytest.mark.parametrize(
    "error", [InputError("mat/smile.mat: no 'exp'"), FileNotFoundError("mat/smile.mat: no 'exp'")]
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(
    error: Exception, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise error
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert (printed.out, printed.err) == ("", "error: mat/smile.mat: no 'exp'\n")


def test_errors_come_through_a_pool_of_processes() -> None:
    """One that cannot be unpickled would break the pool, and hang one of multiprocessing."""
    for error in (InputError("a.mat: no 'exp'"), ConfigError("size", 7, "8 to 4096")):
        same = pickle.loads(pickle.dumps(error))
        assert type(same) is type(error) and str(same) == str(error)


def test_an_interrupt_exits_with_code_130(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), RecursionError("deep"), OSError(28, "No space left")])
def test_with_debug_a_mistake_of_ours_is_not_hidden(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(type(error)), exit_on_input_error():
        raise error


def test_a_library_that_finds_no_room_is_no_mistake_of_ours() -> None:
    error = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert error_line(error).startswith("error: memory is too small (libtorch_cpu.so")


def test_a_mistake_of_ours_is_one_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise TypeError("no\x1b[31m such\nargument")
    assert stopped.value.code == 2
    expected = "error: unexpected TypeError (no\\x1b[31m such); --debug shows where\n"
    assert capsys.readouterr().err == expected


def test_an_error_is_reported_where_nobody_reads_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = open(os.devnull, "w")
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise InputError("x")
    assert stopped.value.code == 2


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u202e", "\udc80", "x" * 1000])
def test_texts_of_files_become_one_printable_line(text: str) -> None:
    line = str(InputError(f"a.mat: holds '{text}', expected b"))
    assert line.isprintable() and len(line) <= 300
    assert line.startswith("a.mat: holds '") and line.endswith("', expected b")


class Sizes:
    width, rate, odd = 0, 0.0, math.nan


@pytest.mark.parametrize(
    ("require", "bound", "names", "message"),
    [
        (require_at_least, 1, ["width"], "width is 0, expected at least 1"),
        (require_above, 0, ["rate"], "rate is 0.0, expected more than 0"),
        (require_at_least, 0, ["width", "rate", "odd"], "odd is nan, expected at least 0"),
        (require_above, 0, ["odd"], "odd is nan, expected more than 0"),
    ],
)
def test_a_value_that_is_too_small_or_no_number_is_named(
    require: Callable, bound: int, names: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        require(Sizes(), bound, *names)
    assert str(caught.value) == message


def test_values_at_their_bound_are_accepted() -> None:
    require_at_least(Sizes(), 0, "width", "rate")


def test_what_an_exception_says_is_one_short_line() -> None:
    assert first_line(ValueError("\nbroken header\nat byte 7")) == "broken header"
    assert first_line(EOFError()) == "EOFError"
    assert len(first_line(ValueError("x" * 1000))) == 120


def test_standard_output_escapes_what_it_cannot_show() -> None:
    """The files are complete by then: the command must not fail at their names."""
    program = (
        "from anifacegan.runtime.errors import open_standard_streams; open_standard_streams(); "
        "print('m' + chr(0xdcff), chr(0xe9))"
    )
    for encoding, shown in (("utf-8", "m\\udcff \xe9\n"), ("ascii", "m\\udcff \\xe9\n")):
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=True,
        )
        assert ran.stdout.decode() == shown


def test_what_files_are_called_does_not_reach_the_terminal_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A name may hold line feeds, commands of terminals, and bytes that are no text."""
    name = "a\x1b[2Jb\nc\udcff.png"
    say(f"{name}: 2 faces")
    say("x" * 400)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "a\\x1b[2Jb\\nc\\udcff.png: 2 faces"
    assert len(second) == LONGEST_LINE and " ... " in second
    assert printable("é 顔 " + name) == "é 顔 a\\x1b[2Jb\\nc\\udcff.png", "letters stay"
    assert len(printable("x" * 400)) == 400, "results are not cut"


def _prints(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Yield line, first argument, and whether it goes to standard error, of each print and tqdm.write."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "tqdm.write") and node.args:
            to_stderr = any(ast.unparse(word.value) == "sys.stderr" for word in node.keywords)
            yield node.lineno, ast.unparse(node.args[0]), to_stderr


def test_all_lines_beside_results_are_made_printable() -> None:
    """Lines on standard error, and those on standard output that name a path."""
    package, wrong = Path(anifacegan.__file__).parent, []
    for path in sorted(package.rglob("*.py")):
        for line, text, to_stderr in _prints(ast.parse(path.read_text())):
            safe = text.startswith(("one_line(", "printable(", "error_line(", "ready_lines("))
            if not safe and (to_stderr or text.startswith(("f'", 'f"'))):
                wrong.append(f"{path.relative_to(package)}:{line}: {text}")
    assert wrong == []
