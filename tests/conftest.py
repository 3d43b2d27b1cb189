"""Fixtures for what a test may need and a machine may lack: the built face model, reference data, and a GPU.

Nothing here imports anifacegan at the top: pytest loads this file before jaxtyping starts to check shapes, and
a module imported earlier would go unchecked (tests/repository/test_shape_checks.py).
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tests.fixtures.checks_on_demand  # noqa: F401 (pyproject.toml names it to jaxtyping, which does not import it)

if TYPE_CHECKING:
    from anifacegan.data.synthetic.renderer import SyntheticRenderer
    from anifacegan.face_model.morphable import MorphableModel

REPOSITORY = Path(__file__).resolve().parents[1]
gc.disable()  # while tests are collected: most of what imports make stays, and is looked through again and again


# A suite in the background, or after nohup, ignores these signals, and every command that a test starts would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """From here on garbage is collected, but modules and test functions are no longer looked through."""
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    """Test inputs without a generator of their own are the same in every run and in every order."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _loops_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where several processes run the tests, no two compile the same loop."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    from tests.fixtures.compiled_once import compiled_once

    locks = tmp_path_factory.getbasetemp().parent / "compiled_once"  # the folder of all processes of this run
    locks.mkdir(exist_ok=True)
    with compiled_once(locks):
        yield


@pytest.fixture(
    params=[
        pytest.param(("numba", "cpu"), id="numba"),
        pytest.param(("torch", "cpu"), id="torch"),
        pytest.param(("torch", "cuda"), id="torch on a GPU", marks=pytest.mark.gpu),
        pytest.param(("nvdiffrast", "cuda"), id="nvdiffrast", marks=pytest.mark.gpu),
    ]
)
def backend(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A backend of the rasterizer, and the device it draws on."""
    import torch

    name, device = request.param
    if device == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")
    if name == "nvdiffrast":
        pytest.importorskip("nvdiffrast.torch", reason="pip install diffrp-nvdiffrast")
    return name, device


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny data set and its face model, for runs of every kind."""
    from tests.fixtures.tiny_training_set import write_tiny_set

    folder = tmp_path_factory.mktemp("set")
    write_tiny_set(folder)
    return folder


@pytest.fixture(scope="session")
def face_model() -> MorphableModel:
    """The open face model that anifacegan face-model keeps in the cache."""
    from anifacegan.face_model.open_model import BUILD_COMMAND, face_model_path, load_open_face_model

    if not face_model_path().exists():
        pytest.skip(f"{face_model_path()} is missing: {BUILD_COMMAND} builds it")
    return load_open_face_model()


@pytest.fixture(scope="session")
def real_renderer(face_model: MorphableModel) -> SyntheticRenderer:
    """The renderer of the built face model, prepared once for all tests."""
    from anifacegan.data.synthetic.renderer import load_synthetic_renderer

    return load_synthetic_renderer()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The project's reference data, which lie beside the checkout and not in it."""
    return _existing(REPOSITORY.parent / "shared")


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> Path:
    """A small model in the released files' format, and what the authors' code makes of it."""
    return _existing(shared_dir / "golden" / "small")


@pytest.fixture(scope="session")
def official(shared_dir: Path) -> Path:
    """Files from the authors' release: an expression (.mat) and the deformation field."""
    return _existing(shared_dir / "official")


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: this test compares with reference data kept beside the checkout")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each room's tests took, where those of more than one ran; set-up of fixtures counts, too."""
    from tests.fixtures.room_budgets import budget_table, seconds_by_room

    reports = [report for group in terminalreporter.stats.values() for report in group]
    durations = [
        (report.nodeid, report.duration) for report in reports if isinstance(report, pytest.TestReport)
    ]
    seconds = seconds_by_room(durations)
    if len(seconds) > 1:
        terminalreporter.section("test time by room")
        terminalreporter.write_line("\n".join(budget_table(seconds)))
