"""The console command: its list of subcommands, its version, its speed, and errors that end in one line."""

import importlib
import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import anifacegan
from anifacegan.cli import main as console
from anifacegan.cli.figure.command import KINDS, TOGETHER
from anifacegan.cli.main import COMMANDS
from anifacegan.cli.subcommands import Subcommand
from anifacegan.cli.train import TASKS
from anifacegan.runtime.errors import DEBUG_VARIABLE
from tests.fixtures.commands import command, one_error_line

HEAVY = ("torch", "numba", "scipy", "torchvision", "imageio")
"""Packages that take seconds to import, or tenths of one."""
ROOT = Path(__file__).resolve().parents[2]
OF_TRAINING = ("train", "ablate")
LEAF_COMMANDS = [
    *(name for name in COMMANDS if name not in ("figure", "export")),
    "figure truncation",
    "export glb",
    "export snapshot",
    "export web",
]
HELP_TEXTS = [
    *COMMANDS,
    *(f"train --task {task}" for task in TASKS),
    *(f"figure {name}" for name in KINDS | TOGETHER),
    "export glb",
    "export snapshot",
    "export web",
]


def test_the_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        assert command(*arguments) == 0
        text = capsys.readouterr().out
        assert all(f"  {name} " in text and entry.summary in text for name, entry in COMMANDS.items())


@pytest.mark.parametrize("count", ["0", "-3", "abc", "2.5", ""])
def test_a_number_of_threads_that_numba_refuses_names_its_variable(
    count: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", count)
    assert command("render", "--out", "") == 2
    assert f"NUMBA_NUM_THREADS is '{count}', expected at least 1" in one_error_line(capsys)


@pytest.mark.parametrize(
    ("name", "value"), [("TQDM_MININTERVAL", "abc"), ("TQDM_NCOLS", "1.5"), ("TQDM_DELAY", "")]
)
def test_a_number_that_tqdm_refuses_names_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert command("render", "--out", "") == 2
    assert f"{name} is '{value}', expected a number" in one_error_line(capsys)


@pytest.mark.parametrize(
    ("value", "is_refused"),
    [
        ("expandable_segments=True", True),
        ("a:1,b", True),
        ("a:1 b:2", True),
        ("a:", True),
        ("a:[256:1", True),
        ("", False),
        (" a : 1 , b:2, ", False),
        ("a:[256:1,512:2],b:0.5", False),
    ],
)
@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_memory_settings_at_which_pytorch_aborts_name_their_variable(
    name: str,
    value: str,
    is_refused: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PyTorch 2.15 aborts at ``import torch`` with each of the refused values, and with none of the others."""
    monkeypatch.setenv(name, value)
    assert command("render", "--out", "") == 2
    said = f"{name} is {value!r}, expected name:value,..." if is_refused else "--out: no value given"
    assert said in one_error_line(capsys)


def test_too_little_address_space_for_pytorch_is_refused() -> None:
    """In a process of its own: PyTorch would end it with an abort."""
    words = [sys.executable, "-m", "anifacegan.cli", "render", "--out", ""]
    ended = subprocess.run(
        ["bash", "-c", 'ulimit -v 3000000; exec "$@"', "bash", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "error: ulimit -v is 3000000, expected at least 3500000: PyTorch needs that much\n",
    )


def test_code_that_is_not_compiled_is_said() -> None:
    code = "from anifacegan.runtime.compiled import kernel; kernel()(lambda: 1); kernel()(lambda: 2)"
    variables = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines() == [
        "NUMBA_DISABLE_JIT is set: nothing is compiled, and rendering is thousands of times slower"
    ]


@pytest.mark.parametrize(("name", "value"), [("TORCH_LOGS", "bogus"), ("TORCH_DISTRIBUTED_DEBUG", "bogus")])
def test_a_value_that_keeps_pytorch_from_being_imported_names_its_variable(name: str, value: str) -> None:
    """In a process of its own, as PyTorch reads them once."""
    ended = subprocess.run(
        [sys.executable, "-m", "anifacegan.cli", "render", "--out", ""],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert f"PyTorch cannot be imported with {name}='{value}': " in ended.stderr


def test_a_variable_that_numba_cannot_read_is_one_line() -> None:
    """In a process of its own, as numba reads them once; it would warn with a traceback and go on without."""
    ended = subprocess.run(
        [sys.executable, "-m", "anifacegan.cli", "render", "--out", ""],
        env={**os.environ, "NUMBA_OPT": "abc"},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = "error: NUMBA_OPT is 'abc', which numba cannot read, expected no such variable\n"
    assert (ended.returncode, ended.stderr) == (2, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="a current folder cannot be deleted there")
def test_a_current_folder_that_was_deleted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """oneMKL would end the process with a line of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    assert command("expressions", "--out", tmp_path / "out") == 2
    assert "error: the current folder: No such file or directory, expected" in one_error_line(capsys)
    assert command("--help") == 0


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out == f"anifacegan {anifacegan.__version__}\n"


def test_an_unknown_subcommand_is_one_line_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("rendr", "--seeds", 3) == 2
    assert one_error_line(capsys) == "error: anifacegan: unknown subcommand 'rendr', did you mean 'render'?"
    assert command("xyz") == 2
    assert "expected one of render, train, " in one_error_line(capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_module_has_a_main_that_takes_the_arguments(name: str) -> None:
    main = importlib.import_module(COMMANDS[name].module).main
    assert list(inspect.signature(main).parameters) == ["arguments"]


@pytest.mark.parametrize("name", LEAF_COMMANDS)
def test_every_subcommand_explains_each_of_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*name.split(), "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: anifacegan {name} ") and "--print_config" in text
    options = re.findall(r" --(\S+)( [^-].*?)?\(([^()]*; (?:default|required)|a group of options)", text)
    undescribed = [key for key, words, _ in options if words.count(" ") < 4]
    assert undescribed == [] or name in OF_TRAINING


def test_the_list_imports_nothing_heavy() -> None:
    code = (
        "import sys; from anifacegan.cli.main import main; main(['--help']);"
        "print([name for name in ('numpy', 'torch', 'scipy', 'numba', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_no_help_text_imports_anything_heavy() -> None:
    """One process prints all help texts, one after another: the first that imports one of HEAVY is named."""
    code = f"""
import sys
from anifacegan.cli.main import main
for name in {HELP_TEXTS}:
    try:
        main([*name.split(), "--help"])
    except SystemExit as exit:
        assert not exit.code, name
    heavy = [module for module in {HEAVY} if module in sys.modules]
    if heavy:
        sys.exit(f"{{name}} imports {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.findall(r"^usage: anifacegan (.*?) (?:\[|NAME)", done.stdout, re.MULTILINE)
    assert shown == [name.partition(" --")[0] for name in HELP_TEXTS]


def failing(error: BaseException) -> ModuleType:
    """A module whose main raises an error."""
    module = ModuleType("failing")

    def main(arguments: list[str]) -> None:
        raise error

    module.main = main  # type: ignore[attr-defined]
    return module


FULL = "standard output or a file cannot be written"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (anifacegan.InputError("x.mat: no such file"), 2, "error: x.mat: no such file\n"),
        (OSError(28, "No space left on device"), 2, f"error: {FULL}: No space left on device\n"),
        (FileExistsError(17, "File exists", "a"), 2, "error: a: File exists\n"),
        (FloatingPointError("loss is nan"), 1, "error: loss is nan\n"),
        (BrokenPipeError(32, "Broken pipe"), 2, "error: Broken pipe\n"),  # not standard output's
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_end_in_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Subcommand, "load", lambda self: failing(error))
    assert command("evaluate") == code
    assert capsys.readouterr().err == line


def test_with_debug_a_mistake_of_ours_is_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Subcommand, "load", lambda self: failing(TypeError("a mistake")))
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    assert command("evaluate", "--size", 3) == 2
    assert one_error_line(capsys) == "error: unexpected TypeError (a mistake); --debug shows where"
    monkeypatch.setenv(DEBUG_VARIABLE, "")  # so that it is set back
    with pytest.raises(TypeError, match="a mistake"):
        command("evaluate", "--size", 3, "--debug")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    commands = [("--version", 0), ("rendr", 2)]
    if "<" in closed:  # once is enough for a command that imports everything
        commands.append(("train --out x --data.path /nowhere --unknown 1", 2))
    for words, code in commands:
        line = f"cd {ROOT}; {sys.executable} -m anifacegan.cli {words} {closed}"
        assert subprocess.run(["sh", "-c", line], cwd=tmp_path).returncode == code


def test_a_reader_that_has_gone_is_no_error() -> None:
    """``anifacegan dataset --help | true``."""
    read, write = os.pipe()
    os.close(read)
    for arguments in (["--help"], ["dataset", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "anifacegan.cli", *arguments],
            cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    os.close(write)


ENDED = """
import signal, sys, time
from anifacegan.cli import main as console

def slow(words):
    try:
        signal.raise_signal(int(words[0]))
        time.sleep(0.01)
    finally:
        print("tidied up")

console.run = slow
{before}
console.main(sys.argv[1:])
"""


def ended_by(number: signal.Signals, before: str = "") -> subprocess.CompletedProcess[str]:
    """A command that gets a signal while it works."""
    words = [sys.executable, "-c", ENDED.format(before=before), str(int(number))]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_tidies_up_and_says_so(number: signal.Signals) -> None:
    done = ended_by(number)
    assert (done.returncode, done.stdout, done.stderr) == (130, "tidied up\n", "interrupted\n")


def test_after_nohup_a_terminal_that_closes_ends_nothing() -> None:
    done = ended_by(signal.SIGHUP, "signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "tidied up\n", "")


def test_data_sets_are_made_with_one_thread_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    module = failing(SystemExit(0))
    module.main = lambda arguments: seen.append([os.environ[name] for name in console.BLAS_VARIABLES])  # type: ignore
    monkeypatch.setattr(Subcommand, "load", lambda self: module)
    for name in console.BLAS_VARIABLES:
        monkeypatch.setenv(name, "4")
    for name in ("dataset", "face-model", "evaluate"):
        command(name)
    assert seen == [["1"] * 3, ["1"] * 3, ["4"] * 3]


def test_a_configuration_in_utf_8_is_read_in_every_locale(tmp_path: Path) -> None:
    path = tmp_path / "\u00fc.yaml"
    path.write_text("out: r\u00e9sultats\nseeds: 3  # \u4e2d\n", encoding="utf-8")
    unset = ("LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    done = subprocess.run(
        [sys.executable, "-m", "anifacegan.cli", "render", "--config", str(path), "--print_config"],
        cwd=ROOT,
        env=environment | {"LC_ALL": "C"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"seeds: 3" in done.stdout and b"sultats" in done.stdout
