"""The console command ``anifacegan``: selects a subcommand, imports its module and runs it.

This module imports nothing heavy, so that ``anifacegan --help`` answers at once. Every module named in COMMANDS has a
function ``main(arguments)``. Every error in a user's input ends here, as one line on stderr and an exit code.
"""

import os
import re
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from anifacegan.cli.subcommands import Subcommand, overview, require_known, wants_help
from anifacegan.runtime.errors import (
    DEBUG_VARIABLE,
    InputError,
    exit_on_input_error,
    inexact_said_in_one_line,
    open_standard_streams,
)

PROGRAM = "anifacegan"
DESCRIPTION = "Generate faces whose pose and expression you control, train such models, and measure them."
COMMANDS = {
    "render": Subcommand(
        "Render people whose pose and expression change: images, videos and a contact sheet.",
        "anifacegan.cli.render.command",
    ),
    "train": Subcommand(
        "Train a generator, a face reconstruction network, or a prior of face coefficients.",
        "anifacegan.cli.train",
    ),
    "bake": Subcommand(
        "Bake one person into an avatar file, which plays in real time without the networks.",
        "anifacegan.cli.bake.command",
    ),
    "evaluate": Subcommand(
        "Measure a model: FID, expression and pose accuracy, identity, view consistency and more.",
        "anifacegan.cli.evaluate.command",
    ),
    "compare": Subcommand(
        "Compare two models on the same faces, with confidence intervals and a verdict.",
        "anifacegan.cli.compare",
    ),
    "figure": Subcommand(
        "Make a figure of a model, or all figures on one page.", "anifacegan.cli.figure.command"
    ),
    "ablate": Subcommand(
        "Train with and without each imitation loss, and measure the difference.",
        "anifacegan.cli.ablate.command",
    ),
    "dataset": Subcommand(
        "Render a data set of synthetic people: images with exact face coefficients.",
        "anifacegan.cli.dataset.command",
        single_threaded_blas=True,
    ),
    "face-model": Subcommand(
        "Build the open face model (a 3DMM) from CC0 data and keep it in the cache.",
        "anifacegan.cli.build_face_model",
        single_threaded_blas=True,
    ),
    "expressions": Subcommand(
        "Write a coefficient file (.mat) for each named expression of the open face model.",
        "anifacegan.cli.expressions.command",
    ),
    "fit": Subcommand(
        "Fit the open face model to photographs and films: coefficients, aligned crops and overlays.",
        "anifacegan.cli.fit.command",
    ),
    "prepare": Subcommand(
        "Make a data set for training of raw photographs: align, fit, write images and coefficients.",
        "anifacegan.cli.prepare.command",
    ),
    "animate": Subcommand(
        "Make an avatar of a photograph, and a film of it: it turns, smiles, blinks and talks.",
        "anifacegan.cli.animate.command",
        single_threaded_blas=True,
    ),
    "view": Subcommand(
        "Show a model, an avatar or a training run in a browser: turn it, move its face, save and record.",
        "anifacegan.cli.view.command",
    ),
    "measure": Subcommand(
        "Measure a face reconstruction network on images with known coefficients.",
        "anifacegan.cli.measure.command",
    ),
    "import-released": Subcommand(
        "Convert the weights that AniFaceGAN's authors released into a model folder.",
        "anifacegan.cli.import_released",
    ),
    "export": Subcommand(
        "Export a model or an avatar: a snapshot of a training run, a web page, a head (.glb).",
        "anifacegan.cli.export.command",
    ),
}
DEBUG_OPTION = "--debug"
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does."""
BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that BLAS libraries read once, when NumPy is imported."""
PROGRESS_VARIABLES = {
    **{
        f"TQDM_{name}": float
        for name in ("DELAY", "MAXINTERVAL", "MININTERVAL", "MINITERS", "SMOOTHING", "TOTAL")
    },
    **{f"TQDM_{name}": int for name in ("INITIAL", "NCOLS", "NROWS", "POSITION", "UNIT_DIVISOR")},
}
"""Environment variables that tqdm converts to numbers when it is imported."""
LEAST_ADDRESS_SPACE = 3_500_000 * 1024
"""Number of bytes of address space with which PyTorch can be imported, measured with the version for CPUs; with 15 %
less it ends the process."""
ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Environment variables of PyTorch's memory, which it reads when it is imported, also where there is no GPU."""
TORCH_VARIABLES = ("TORCH_LOGS", "TORCH_LOGS_FORMAT", "TORCH_LOGS_OUT", "TORCH_DISTRIBUTED_DEBUG")
"""Environment variables with which PyTorch cannot be imported if it does not know their values."""
NUMBA_VARIABLES_KNOWN = ("NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR")
"""Environment variables of numba that need no look: the first is checked without it, the second may be any text."""
_ALLOCATOR_SETTING = r"[^\s,:\[\]]+:([^,:\[\]]+|\[[^\[\]]*\])"


def main(
    arguments: Sequence[str] | None = None, ctrl_c: Callable[[int, FrameType | None], object] | None = None
) -> None:
    """Run the command line; ``arguments`` None takes the arguments of the process. ``ctrl_c`` is what Ctrl-C calls as
    soon as what it raises is caught; None: what it called before.

    The option ``--debug``, of every subcommand, shows the traceback of a mistake of the program.

    Raises:
        SystemExit: with code 2 for wrong input, a failing disk or a mistake of the program, 1 for a failed computation,
            130 after Ctrl-C, SIGTERM or SIGHUP, and 0 after ``--print_config`` or when the reader of a pipe has gone.
    """
    open_standard_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if DEBUG_OPTION in words:
        os.environ[DEBUG_VARIABLE] = "1"
        words = [word for word in words if word != DEBUG_OPTION]
    with exit_on_input_error(), ended_as_by_ctrl_c(), inexact_said_in_one_line():
        if ctrl_c is not None:
            signal.signal(signal.SIGINT, ctrl_c)
        run(words)


def run(arguments: Sequence[str]) -> None:
    """Run the subcommand that the first command-line word names, or print the list of subcommands or the version.

    Raises:
        InputError: an unknown subcommand, or anything that the subcommand refuses.
    """
    if not arguments or wants_help(arguments):
        summaries = {name: command.summary for name, command in COMMANDS.items()}
        print(overview(PROGRAM, DESCRIPTION, summaries), end="")
        return
    name, *rest = arguments
    if name == "--version":
        from anifacegan import __version__

        print(PROGRAM, __version__)
        return
    require_known(name, tuple(COMMANDS), PROGRAM)
    _require_current_folder()
    _require_threads()
    _require_progress_numbers()
    _require_address_space()
    _require_allocator_settings()
    if COMMANDS[name].single_threaded_blas:
        os.environ.update(dict.fromkeys(BLAS_VARIABLES, "1"))
    _require_torch()  # may import it, which reads those variables
    _require_numba()
    COMMANDS[name].load().main(rest)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM (``kill``, ``timeout``, a machine that shuts down) and SIGHUP (a terminal that closes) end the block
    as Ctrl-C does: temporary files and locks go, and one line says so. A signal that is ignored, as after ``nohup``,
    stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ending:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _require_current_folder() -> None:
    """Require that the current folder exists: without one, BLAS ends the process with words of its own, and a relative
    path means nothing.

    Raises:
        InputError: it was deleted, or cannot be read.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(
            f"the current folder: {os.strerror(error.errno)}, expected one that exists ('cd' leads to one)"
        ) from None


def _require_threads() -> None:
    """Require that the variable by which numba's threads are counted, if there is one, is a number from 1: numba
    refuses to be imported at 0, and warns with a traceback at words.

    Raises:
        InputError: it is not.
    """
    value = os.environ.get("NUMBA_NUM_THREADS", "1")
    try:
        count = int(value)
    except ValueError:
        count = 0
    if count < 1:
        raise InputError(f"NUMBA_NUM_THREADS is {value!r}, expected at least 1, or no such variable")


def _require_progress_numbers() -> None:
    """Require that the variables by which tqdm's bars are changed are numbers: with others, it cannot be imported.

    Raises:
        InputError: one is not.
    """
    for name, kind in PROGRESS_VARIABLES.items():
        value = os.environ.get(name, "0")
        try:
            kind(value)
        except ValueError:
            raise InputError(f"{name} is {value!r}, expected a number, or no such variable") from None


def _require_address_space() -> None:
    """Require that the process may have the address space that PyTorch takes when it is imported: with less, it ends
    the process with an abort.

    Raises:
        InputError: it may not.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise InputError(
            f"ulimit -v is {limit // 1024}, expected at least {LEAST_ADDRESS_SPACE // 1024}: PyTorch needs that much"
        )


def _require_allocator_settings() -> None:
    """Require that the variables of PyTorch's memory are names with values: with others, as ``name=value``, it ends
    the process with an abort when it is imported.

    Raises:
        InputError: one is not.
    """
    for name in ALLOCATOR_VARIABLES:
        settings = "".join(os.environ.get(name, "").split())
        if settings and not re.fullmatch(rf"{_ALLOCATOR_SETTING}(,{_ALLOCATOR_SETTING})*,?", settings):
            raise InputError(f"{name} is {os.environ[name]!r}, expected name:value,..., or no such variable")


def _require_torch() -> None:
    """Require that PyTorch can be imported if variables are set that can prevent it; what they may be only it knows.

    Raises:
        InputError: it cannot.
    """
    given = [f"{name}={os.environ[name]!r}" for name in TORCH_VARIABLES if name in os.environ]
    if given:
        try:
            import torch.distributed  # noqa: F401
        except (ValueError, RuntimeError, OSError) as error:
            said = str(error).strip().partition("\n")[0]
            raise InputError(f"PyTorch cannot be imported with {', '.join(given)}: {said}") from None


def _require_numba() -> None:
    """Require that numba can read its variables: of one that it cannot it warns with a traceback, and goes on without.

    Raises:
        InputError: it cannot.
    """
    if not any(name.startswith("NUMBA_") and name not in NUMBA_VARIABLES_KNOWN for name in os.environ):
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from numba.core import config  # noqa: F401
    said = [str(warning.message) for warning in caught if "could not be parsed" in str(warning.message)]
    for name in sorted(os.environ):
        if any(f"'{name}'" in message for message in said):
            raise InputError(
                f"{name} is {os.environ[name]!r}, which numba cannot read, expected no such variable"
            )
