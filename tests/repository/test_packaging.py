"""The package installs and imports on a plain machine, and the repository holds what belongs there."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import anifacegan

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = {".safetensors": 20_000_000}
OTHERS_BYTES = 5_000_000
"""No tracked file is larger: weights of a shipped model, and everything else."""
EMPTY_NAMES = re.compile(r"(^|/)(utils?|helpers?|misc|common)(\.py$|/)")
"""Names of files and folders that say nothing."""
SHELL_SCRIPTS = ("render.sh", "scripts/test.sh", "scripts/environment.sh", ".ci/run")


def tracked_files() -> list[str]:
    """Paths that git knows, or would take, relative to the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


def setup_arguments() -> dict[str, ast.expr]:
    """The keyword arguments of setup() in setup.py, unevaluated."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup":
            return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    raise AssertionError("setup.py calls no setup()")


def project_name(requirement: str) -> str:
    """'onnx' of 'onnx[reference]>=1.16,<2', normalised as package indices do."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def pins(file: str) -> dict[str, str]:
    """Package -> exact version in a requirements file; every line must be such a pin."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    versions = {}
    for line in lines:
        if line and not line.startswith("-r "):
            name, equals, version = line.partition("==")
            assert equals and re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{file}: '{line}' is no exact pin"
            versions[project_name(name)] = version
    return versions


def test_import_needs_no_optional_or_slow_package() -> None:
    late = (
        "torch", "numpy", "nvdiffrast", "numba", "tensorboard", "torch.utils.tensorboard", "torchvision", "anny",
        "skimage", "trimesh",
    )  # fmt: skip
    code = f"import sys, anifacegan; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", anifacegan.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(anifacegan, name).__doc__ and name in dir(anifacegan)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'anifacegan' has no attribute 'load_modle'"):
        anifacegan.load_modle  # noqa: B018


def imported_packages() -> set[str]:
    """Top-level names that the package's sources import, less Python's own."""
    names: set[str] = set()
    for path in (ROOT / "anifacegan").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"anifacegan"}


def test_dependencies_are_what_the_package_imports() -> None:
    distributions = packages_distributions()
    extras = {"nvdiffrast", "torch_fidelity", "onnxruntime", "dlib", "h5py", "mediapipe", "websockets"}
    extras |= {"pygltflib"}
    extras |= {"llvmlite"}  # a part of numba, which pins its version
    used = {project_name(distributions[name][0]) for name in imported_packages() - extras}
    target = {project_name(item) for item in ast.literal_eval(setup_arguments()["install_requires"])}
    assert target == used | {"tensorboard"}  # torch.utils.tensorboard imports it


def test_every_dependency_is_pinned() -> None:
    target = {project_name(item) for item in ast.literal_eval(setup_arguments()["install_requires"])}
    assert target <= pins("requirements.txt").keys()


def test_every_development_dependency_is_pinned() -> None:
    extras = ast.literal_eval(setup_arguments()["extras_require"])
    target = {
        project_name(item) for item in extras["dev"] + extras["figures"] + extras["eval"] + extras["glb"]
    }
    assert target <= pins("requirements-dev.txt").keys()


def test_the_face_model_needs_exact_data() -> None:
    assert {"anny", "xatlas"} <= pins("requirements-face-model.txt").keys()


def test_one_version_and_one_oldest_python() -> None:
    arguments = setup_arguments()
    oldest = ast.literal_eval(arguments["python_requires"]).removeprefix(">=")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert f"\nversion: {anifacegan.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert tools["pyright"]["pythonVersion"] == oldest
    assert tools["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert f"needs Python {oldest} to 3.13" in (ROOT / "scripts" / "environment.sh").read_text()


def test_no_large_file_is_tracked() -> None:
    def too_large(path: Path) -> bool:
        return path.stat().st_size > MOST_BYTES.get(path.suffix, OTHERS_BYTES)

    assert [name for name in tracked_files() if too_large(ROOT / name)] == []


def test_every_name_says_something() -> None:
    assert [name for name in tracked_files() if EMPTY_NAMES.search(name)] == []


@pytest.mark.parametrize("script", SHELL_SCRIPTS)
def test_shell_scripts_parse(script: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["render.sh", "scripts/test.sh", ".ci/run"])
def test_commands_are_executable(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111
