"""The viewer beside a training run: a process of its own with low priority and one thread, which ends with the run."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from anifacegan.cli.view.config import PORT, ViewCommand
from anifacegan.runtime.errors import say

NICENESS = 15
"""How much the viewer steps back behind the training run."""
LOOK_S = 2.0
"""Time between two looks whether the training run still lives, seconds."""
END_S = 10.0
"""Longest time to wait for the viewer's end, seconds."""
VIEWED_FILES = "view"
"""Folder, in the run's folder, of what the viewer saves."""


@contextmanager
def viewer_beside(run: Path) -> Iterator[None]:
    """Show the newest snapshot of a run in a browser while the block runs.

    Raises:
        InputError: websockets is not installed.
    """
    from anifacegan.viewer.server import require_websockets

    require_websockets()
    process = get_context("spawn").Process(
        target=watch_run, args=(run, os.getpid()), name="viewer", daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(END_S)
        if process.is_alive():
            process.kill()


def watch_run(run: Path, parent: int) -> None:
    """Serve the viewer of a run's folder until the process ``parent`` ends; prints the address on standard error."""
    from anifacegan.runtime.errors import InputError, error_line

    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's, which ends this process
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        with suppress(InputError):
            return serve_run(run, PORT)
        serve_run(run, 0)  # another run is viewed on the usual port
    except InputError as error:
        say(f"{error_line(error)}; the run goes on without a viewer")


def serve_run(run: Path, port: int) -> None:
    """Serve the viewer of a run's folder on a port.

    Raises:
        InputError: the port is taken.
    """
    import torch

    from anifacegan.cli.view.run_folder import RunFolder
    from anifacegan.viewer.saved_files import SavedFiles
    from anifacegan.viewer.server import Viewer, ready_lines
    from anifacegan.viewer.stage import Stage
    from anifacegan.viewer.subjects import open_subject

    torch.set_num_threads(1)
    config = ViewCommand(port=port)
    stage = Stage(
        lambda path: open_subject(path, config.bake, "cpu", lambda: viewer.redraw()),
        SavedFiles(run / VIEWED_FILES),
    )
    stage.waits_for = f"Waiting for the first snapshot of {run}"
    folder = RunFolder(run, config.bake, "cpu", lambda: viewer.redraw())
    viewer = Viewer(stage, config.host, port, folder.newer)
    asyncio.run(viewer.serve(lambda address: print(ready_lines(address), file=sys.stderr, flush=True)))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended without ending it."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
