"""The entry point of the console command, before anything of it has been imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = """
import os, signal, sys
from anifacegan.cli import start
signal.signal(signal.SIGINT, signal.{handler})
class Interrupting:
    def find_spec(self, name, *_):
        if name == "anifacegan.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["anifacegan", "--version"]
start.main()
"""


@pytest.mark.parametrize(
    ("handler", "code", "error"), [("default_int_handler", 130, "error: interrupted\n"), ("SIG_IGN", 0, "")]
)
def test_ctrl_c_while_the_command_is_imported_is_one_line(handler: str, code: int, error: str) -> None:
    script = INTERRUPTED.format(handler=handler)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, error)
    assert done.stdout.startswith("anifacegan ") == (code == 0)


def test_ctrl_c_right_before_errors_are_caught_is_one_line() -> None:
    """When the command is imported, and has not begun."""
    script = INTERRUPTED.format(handler="default_int_handler").replace(
        "sys.meta_path.insert", "(lambda *_: 0)"
    )
    script = script.replace(
        "start.main()",
        "from anifacegan.cli import main\n"
        "main.open_standard_streams = lambda: os.kill(os.getpid(), signal.SIGINT)\nstart.main()",
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
