"""Compiled loops run where their cache cannot be written, and use it where it can."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import no_type_check

import numpy as np
import pytest
import torch

from anifacegan.runtime.compiled import _own_temporary_folder, kernel, narrowed, widened
from tests.fixtures.compiled_once import compiled_once
from tests.fixtures.small_disk import files_of_at_most

PACKAGE = Path(__file__).resolve().parents[2] / "anifacegan"
RUN = """
import importlib, sys
import numpy as np
for name in sys.argv[1:]:
    importlib.import_module(name)
from anifacegan.face_model.face_mesh import affine
print(sys.modules["anifacegan"].__file__)
print(affine(np.float32([1]), np.float32([[2, 3]]), np.float32([10, 100])).tolist())
"""


def modules_with(text: str) -> list[str]:
    """Names of the package's modules whose source has a text."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if text in path.read_text())
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package in which not even root can write a cache: a file stands where its folder would be."""
    copy = tmp_path / "site" / "anifacegan"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        (folder / "__pycache__").write_text("")
    return copy


def run(package: Path, home: Path, modules: list[str], **variables: str) -> subprocess.CompletedProcess:
    """Import modules with compiled loops, and call one of these, with a file in place of the home folder."""
    home.write_text("no folder")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    environment = inherited | {"HOME": str(home), "PYTHONPATH": str(package.parent)} | variables
    return subprocess.run(
        [sys.executable, "-c", RUN, *modules],
        env=environment,
        cwd=package.parent,
        capture_output=True,
        text=True,
    )


def test_a_read_only_package_and_home_run_without_the_cache(package: Path, tmp_path: Path) -> None:
    """Every module with a loop."""
    done = run(package, tmp_path / "home", modules_with("runtime.compiled import kernel"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == [str(package / "__init__.py"), "[321.0]", ""]


def test_a_temporary_folder_that_cannot_be_filled_is_done_without(package: Path, tmp_path: Path) -> None:
    """As a umask of 277 leaves its folders, or a file system without free inodes."""
    folder = tmp_path / f"anifacegan-numba-{os.getuid()}"
    folder.mkdir(mode=0o700)
    for inside in (path for path in package.rglob("*") if path.is_dir()):
        digest = hashlib.sha1(str(inside).encode(), usedforsecurity=False).hexdigest()
        (folder / f"{inside.name}_{digest}").write_text(
            "numba's folder of the modules in a package has this name"
        )
    done = run(package, tmp_path / "home", [], TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout.split("\n")[1]) == (0, "[321.0]"), done.stderr
    assert done.stderr.count("\n") == 1 and "compiled code cannot be kept" in done.stderr


@pytest.mark.parametrize("damage", ["full disk", "empty index", "half of the code", "index without its code"])
def test_a_cache_that_fails_is_done_without(damage: str, package: Path, tmp_path: Path) -> None:
    """The disk is not full: the process may write files of 4 KiB at most: the index, but not the code."""
    cache = tmp_path / "cache"
    if damage != "full disk":
        run(package, tmp_path / "home", [], NUMBA_CACHE_DIR=str(cache))
        (index,) = cache.rglob("face_mesh.affine-*.nbi")
        (code,) = cache.rglob("face_mesh.affine-*.nbc")
        if damage == "empty index":
            index.write_bytes(b"")
        elif damage == "half of the code":
            code.write_bytes(code.read_bytes()[:500])
        else:
            code.unlink()
    with files_of_at_most(4096) if damage == "full disk" else nullcontext():
        done = run(package, tmp_path / "home", [], NUMBA_CACHE_DIR=str(cache))
    assert (done.returncode, done.stdout.split("\n")[1]) == (0, "[321.0]"), done.stderr
    if damage == "full disk":
        assert done.stderr.count("\n") == 1 and "compiled code cannot be kept" in done.stderr
        assert not list(cache.rglob("*.nbi")), (
            "it would name code that is not there, or that of an earlier version"
        )
    else:
        assert done.stderr == ""
        assert len(list(cache.rglob("face_mesh.affine-*.nbi"))) == 1


def test_the_cache_is_kept_in_the_folder_that_the_environment_names(package: Path, tmp_path: Path) -> None:
    done = run(package, tmp_path / "home", [], NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "cache").rglob("face_mesh.affine-*.nbi"))


def test_every_loop_is_compiled_by_the_one_decorator() -> None:
    """numba's own decorator fails where its cache cannot be written."""
    assert modules_with("import numba\n") == ["anifacegan.runtime.compiled"]


@kernel()
@no_type_check
def copy(source, target):
    for k in range(len(source)):
        target[k] = narrowed(widened(source[k]), target[k])


def bits(values: torch.Tensor) -> np.ndarray:
    return values.view(torch.uint16).numpy()


def test_bfloat16_numbers_are_read_and_rounded_as_pytorch_does() -> None:
    """All finite bfloat16 numbers, and float32 numbers between them, ties included."""
    every = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    every = every[every.isfinite()]
    read = np.empty(len(every), np.float32)
    copy(bits(every), read)
    assert np.array_equal(read, every.float().numpy())
    small = every[every.abs() < 1e38].float()
    between = torch.cat([small * factor for factor in (1.0, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-9, 1 + 2**-20)])
    rounded = np.empty(len(between), np.uint16)
    copy(between.numpy(), rounded)
    assert np.array_equal(rounded, bits(between.bfloat16()))
    same = np.empty(len(between), np.float32)
    copy(between.numpy(), same)
    assert np.array_equal(same, between.numpy())


def test_a_cache_that_others_can_write_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in a cache is run."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"anifacegan-numba-{os.getuid()}"

    def found() -> Path | None:
        _own_temporary_folder.cache_clear()
        return _own_temporary_folder()

    assert found() == folder and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert found() is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert found() is None
    folder.unlink()
    folder.write_text("")
    assert found() is None
    _own_temporary_folder.cache_clear()


@kernel()
@no_type_check
def doubled(x):
    return 2 * x


def test_a_loop_that_another_process_of_tests_compiles_is_waited_for(tmp_path: Path) -> None:
    found: list[int] = []
    with compiled_once(tmp_path), (tmp_path / f"{__name__}.doubled.lock").open("w") as of_the_other:
        fcntl.flock(of_the_other, fcntl.LOCK_EX)
        waits = threading.Thread(target=lambda: found.append(doubled(3)))
        waits.start()
        waits.join(0.5)
        assert waits.is_alive() and not found
        fcntl.flock(of_the_other, fcntl.LOCK_UN)
        waits.join()
    assert found == [6]
