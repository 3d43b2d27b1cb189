"""What a command does with bad input: one line, exit code 2."""

import pytest

from anifacegan.errors import InputError, exit_on_input_error, first_line


@pytest.mark.parametrize("error", [InputError("mat/smile.mat: no 'exp'"), FileNotFoundError("mat/smile.mat: no 'exp'")])
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(error: Exception, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise error
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert (printed.out, printed.err) == ("", "error: mat/smile.mat: no 'exp'\n")


def test_an_interrupt_exits_with_code_130(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_input_error():
        raise ZeroDivisionError


def test_what_an_exception_says_is_one_short_line() -> None:
    assert first_line(ValueError("\nbroken header\nat byte 7")) == "broken header"
    assert first_line(EOFError()) == "EOFError"
    assert len(first_line(ValueError("x" * 1000))) == 120
