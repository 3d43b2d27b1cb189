"""Draws cases, runs them within limits, and says which are not clean."""

import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import DEBUG_VARIABLE, LONGEST_LINE, InputError
from tests.fuzz.commands import COMMANDS, process
from tests.fuzz.readers import READERS
from tests.fuzz.world import World, write_world

CPU_SECONDS = 20
"""Longest time that one case may compute."""
MEMORY = 2**31
"""Bytes of address space that one case may add."""
KINDS: tuple[Callable[..., Any], ...] = (*READERS, *COMMANDS)


@dataclass
class Outcome:
    """What came of a number of cases."""

    accepted: int = 0
    refused: int = 0
    by_kind: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def run(seed: int, cases: int, processes: int, world_folder: Path, report: Path | None = None) -> Outcome:
    """Draw and run cases; the same seed and number give the same case.

    ``report`` is a file in which the number of the running case stands, for the case that ends the process.
    """
    warnings.simplefilter("ignore")
    faulthandler.enable()
    os.environ[DEBUG_VARIABLE] = "1"
    world, outcome = write_world(world_folder), Outcome()
    for number in range(cases):
        if report is not None:
            report.write_text(str(number))
        kind = process if number < processes else None
        run_case(seed, number, world, outcome, kind)
    return outcome


def run_case(
    seed: int, number: int, world: World, outcome: Outcome, kind: Callable[..., Any] | None = None
) -> None:
    """Draw one case and run it."""
    rng = random.Random(f"{seed} {number}")
    kind = kind or rng.choice(KINDS)
    outcome.by_kind[kind.__name__] += 1
    folder = Path(tempfile.mkdtemp(prefix="anifacegan-fuzz-"))
    problem = ""
    try:
        case = kind(rng, world, folder)
        before = _listing(folder)
        try:
            # inside the folder, where a name that a mutation made may be written
            with contextlib.chdir(folder), _limits(), contextlib.redirect_stderr(io.StringIO()):
                case()
            outcome.accepted += 1
        except InputError as error:
            outcome.refused += 1
            line = str(error)
            if not line.isprintable() or len(line) > LONGEST_LINE or not line:
                problem = f"a message that is no printable line: {line!r}"
            elif _listing(folder) != before:
                problem = f"refused ({line}), but the folder has changed: {_listing(folder) ^ before}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        problem = "".join(traceback.format_exception(error)[-6:])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problem:
        outcome.failures.append(f"seed {seed} case {number} ({kind.__name__}): {problem}")


def _listing(folder: Path) -> set[tuple[str, bytes]]:
    """Names and contents of all files of up to 10 MB."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 1e7)
    return {(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths}


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """End the block with an error after CPU_SECONDS, or where it asks for more than MEMORY."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"computed for more than {CPU_SECONDS} s")

    before = signal.signal(signal.SIGPROF, too_long)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def summary(outcome: Outcome, seconds: float) -> str:
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(outcome.by_kind.items()))
    total = sum(outcome.by_kind.values())
    return (
        f"{total} cases in {seconds:.0f} s: {outcome.accepted} accepted, {outcome.refused} refused in one line, "
        f"{len(outcome.failures)} failed ({kinds})"
    )


def timed(
    seed: int, cases: int, processes: int, world_folder: Path, report: Path | None
) -> tuple[Outcome, str]:
    started = time.perf_counter()
    outcome = run(seed, cases, processes, world_folder, report)
    return outcome, summary(outcome, time.perf_counter() - started)
