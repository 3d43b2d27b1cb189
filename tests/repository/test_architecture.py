"""The rooms of the package import one way: the contracts of pyproject.toml hold, and they can fail."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "anifacegan"
MOST_ENTRIES = 15
"""Files and folders of the package's root."""
LARGEST_MODULE = 350
"""Lines of a module."""
LARGEST_FUNCTION = 60
"""Lines of a function; compiled kernels may be longer."""
MOST_PARAMETERS = 8
"""Parameters of a function without ``self``; compiled kernels may have more."""

pytest.importorskip("importlinter", reason="pip install import-linter")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of ``root / "pyproject.toml"`` on the package in ``root``."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as run; run()",
        "--no-cache",
    ]
    return subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)


def test_imports_follow_the_contracts() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("geometry/rays.py", "from anifacegan.rendering import volume"),
        ("rendering/volume.py", "from anifacegan.losses import photometric"),
        ("avatars/layered_mesh.py", "from anifacegan.models import generator"),
        ("data/dataset.py", "from anifacegan.face_model.build import pca"),
    ],
)
def test_a_wrong_import_breaks_a_contract(module: str, line: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "anifacegan", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "anifacegan" / module
    changed.write_text(changed.read_text() + f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1 and "BROKEN" in done.stdout, done.stdout + done.stderr


def test_the_packages_root_is_short() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= MOST_ENTRIES


def sources() -> dict[str, ast.Module]:
    """Path of every module, relative to the package, and its syntax tree."""
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_imports_are_absolute() -> None:
    relative = [
        name
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Functions and methods that numba does not compile."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and not any("kernel" in ast.unparse(d) for d in node.decorator_list)
    ]


def test_modules_and_functions_are_short() -> None:
    long_modules = [
        name for name in sources() if len((PACKAGE / name).read_text().splitlines()) > LARGEST_MODULE
    ]
    long_functions = [
        f"{name}: {node.name}"
        for name, tree in sources().items()
        for node in functions(tree)
        if node.end_lineno - node.lineno + 1 > LARGEST_FUNCTION
    ]
    assert (long_modules, long_functions) == ([], [])


def test_signatures_are_short() -> None:
    long = [
        f"{name}: {node.name}"
        for name, tree in sources().items()
        for node in functions(tree)
        if len(
            [
                a
                for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if a.arg not in ("self", "cls")
            ]
        )
        > MOST_PARAMETERS
    ]
    assert long == []
