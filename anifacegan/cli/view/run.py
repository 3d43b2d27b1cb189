"""Makes the viewer of a model, an avatar or a training run, and serves it."""

import asyncio
import signal
from contextlib import suppress

from anifacegan.cli.main import ENDING
from anifacegan.cli.view.config import ViewCommand
from anifacegan.cli.view.run_folder import RunFolder, is_run_folder
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.paths import user_path
from anifacegan.viewer.requests import View
from anifacegan.viewer.saved_files import SavedFiles
from anifacegan.viewer.server import Address, Viewer, ready_lines, require_websockets
from anifacegan.viewer.stage import CameraDriver, Stage
from anifacegan.viewer.subjects import Subject, open_subject


def view(config: ViewCommand) -> None:
    """Serve until Ctrl-C, or a signal that counts as one.

    Raises:
        InputError: a package is missing, something cannot be shown, or the port is taken.
    """
    viewer = make_viewer(config)
    try:
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(_served(viewer))
    finally:
        viewer.stage.close()


async def _served(viewer: Viewer) -> None:
    """Serve until a signal that ends commands. Those that :mod:`anifacegan.cli.main` handles cancel this task, as
    Ctrl-C does, also where Ctrl-C is ignored, as it is by what a script starts with "&"."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in ENDING:
        if signal.getsignal(number) is signal.default_int_handler:
            loop.add_signal_handler(number, task.cancel)
    await viewer.serve(announce)


def make_viewer(config: ViewCommand) -> Viewer:
    """Open what is shown, and make the viewer of it.

    Raises:
        InputError: see :func:`view`.
    """
    require_websockets()
    device = select_device(config.device)

    def load(path: str) -> Subject:
        return open_subject(path, config.bake, device, changed)

    def changed() -> None:
        viewer.redraw()

    stage = Stage(load, SavedFiles(config.out), camera_driver(config))
    watch = None
    folder = user_path(config.model)
    if is_run_folder(folder):
        run = RunFolder(folder, config.bake, device, changed)
        stage.waits_for = f"Waiting for the first snapshot of {folder}"
        watch = run.newer
    else:
        stage.load(str(config.model))
    first = View(seed=config.seed, psi=config.psi, size=config.size, source=stage.newest.source)
    stage.newest = first
    viewer = Viewer(stage, config.host, config.port, watch)
    return viewer


def camera_driver(config: ViewCommand) -> CameraDriver | None:
    """Return what reads a camera's pictures, if the options ask for it.

    Raises:
        InputError: MediaPipe or its model is missing.
    """
    if not config.webcam:
        return None
    from anifacegan.capture.camera_driver import CameraBlendshapes

    return CameraBlendshapes(config.landmark_model)


def announce(address: Address) -> None:
    """Print the page's address."""
    print(ready_lines(address), flush=True)
