"""The package works where it is installed: README.md's examples run from a wheel, in a folder far from the checkout.

The wheel is built from a source distribution, which shows that this has everything, too. It is installed into a folder
that comes first on Python's path; the packages that it needs are those of the environment that runs the tests.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "anifacegan",
    "checkpoints",
    "configs",
    "mat",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
"""What a source distribution is made from."""
SHIPPED = ("checkpoints/demo", "checkpoints/judge", "checkpoints/reconstruction", "configs", "mat")


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command, which has to succeed, and return what it printed."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    done = subprocess.run(command, cwd=cwd, env=own | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def code_blocks(language: str) -> list[str]:
    """The code blocks of README.md in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that ``python -m build --sdist`` makes."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    (folder / "checkpoints" / "mine").mkdir()
    (folder / "checkpoints" / "mine" / "card.yaml").write_text("the user's own")
    call(
        sys.executable, "-c", "from setuptools import build_meta; build_meta.build_sdist('dist')", cwd=folder
    )
    (archive,) = (folder / "dist").iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(source_distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    call(*command, source_distribution, cwd=folder)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package and, under bin/, its command."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    call(*command, "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_the_shipped_files_as_they_are_and_no_others(wheel: Path) -> None:
    expected = {path for folder in SHIPPED for path in (ROOT / folder).iterdir()}
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        shipped = {name for name in names if name.startswith("anifacegan/shipped/")}
        assert shipped == {f"anifacegan/shipped/{path.relative_to(ROOT).as_posix()}" for path in expected}
        for path in expected:
            assert file.read(f"anifacegan/shipped/{path.relative_to(ROOT).as_posix()}") == path.read_bytes()
    assert "anifacegan/py.typed" in names
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "anifacegan/avatars/export/page").iterdir()}
    assert page <= names and len(page) >= 8
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "anifacegan").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_the_source_distribution_holds_the_shipped_files_once(source_distribution: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for folder in SHIPPED:
        for path in (ROOT / folder).iterdir():
            assert names.count(path.relative_to(ROOT).as_posix()) == 1
    assert not [name for name in names if "shipped" in name or "mine" in name]


def test_the_readme_renders_outside_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = file.read(name).decode()
    links = re.findall(r"\]\((.*?)\)", metadata.partition("\n\n")[2])
    assert links and all(re.match(r"https://|#", link) for link in links), links
    assert re.search(r"!\[[^]]*\]\(https://\S+/raw/\S+/docs/teaser.png\)", metadata)


def environment(installed: Path) -> dict[str, str]:
    """Variables with which a process finds the installed package."""
    return {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}


def run_examples(installed: Path, folder: Path, *, of_avatars: bool) -> None:
    """Run README.md's Python examples: those that read a baked avatar, or the others."""
    examples = [code for code in code_blocks("python") if ("load_avatar" in code) == of_avatars]
    assert examples
    for example in examples:
        check = "assert image.shape == (3, 256, 256) and 0 <= image.min() < image.max() <= 1\n"
        call(sys.executable, "-c", example + check, cwd=folder, **environment(installed))


def test_an_installed_wheel_finds_what_it_ships_and_its_command_answers(
    installed: Path, tmp_path: Path
) -> None:
    """tests/repository/test_documentation.py runs the examples of README.md, from the checkout."""
    show = """
import anifacegan
print(anifacegan.__file__)
model = anifacegan.load_model("demo")
print(model.card.name)
"""
    place, name = call(sys.executable, "-c", show, cwd=tmp_path, **environment(installed)).splitlines()
    assert Path(place) == installed / "anifacegan" / "__init__.py" and name == "demo"
    command = [installed / "bin" / "anifacegan", "render", "--help"]
    assert call(*command, cwd=tmp_path, **environment(installed)).startswith("usage: anifacegan render")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # a fresh installation compiles every loop that renders
def test_the_example_and_the_command_run_from_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    show = "import anifacegan; print(anifacegan.__file__)"
    place = call(sys.executable, "-c", show, cwd=tmp_path, **environment(installed)).strip()
    assert Path(place) == installed / "anifacegan" / "__init__.py"
    run_examples(installed, tmp_path, of_avatars=False)
    command = [installed / "bin" / "anifacegan", "render", "--frames", "2", "--size", "64", "--seeds", "7"]
    call(*command, "--grid", "false", "--out", "out", cwd=tmp_path, **environment(installed))
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow  # a fresh installation compiles every loop that bakes and plays
def test_the_avatar_of_the_readme_is_baked_and_played_from_an_installed_wheel(
    installed: Path, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^anifacegan bake .*$", "\n".join(code_blocks("bash")), re.MULTILINE)
    program, *options = line.split()
    call(installed / "bin" / program, *options, cwd=tmp_path, **environment(installed))
    run_examples(installed, tmp_path, of_avatars=True)
