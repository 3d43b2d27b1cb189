"""render.sh and scripts/test.sh find or make their Python environment (scripts/environment.sh).

Each test works on a copy of the scripts, in a folder with a space in its name, with stand-ins for Python that only
write down how they were called: nothing is installed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALLS = "calls.txt"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts and what they read, without a package."""
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    for path in [ROOT / "render.sh", ROOT / "setup.py", *ROOT.glob("requirements*.txt")]:
        shutil.copy(path, folder)
    for name in ("environment.sh", "test.sh"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    return folder


def stand_in(path: Path, body: str) -> None:
    """An executable that appends its arguments, one call a line, to calls.txt beside it and then runs the body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/bash\nhere="$(dirname "$0")"\necho "$*" >> "$here/{CALLS}"\n{body}\n')
    path.chmod(0o755)


def start(script: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script with no environment active but what is given."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["bash", str(script), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=60
    )


def test_an_active_environment_that_has_the_package_is_used(checkout: Path, tmp_path: Path) -> None:
    active = tmp_path / "active"
    stand_in(active / "bin" / "python", 'case "$1" in -) exit 0;; *) exit 7;; esac')
    done = start(
        checkout / "render.sh", "--seeds", "3", "--out", "a b", cwd=tmp_path, VIRTUAL_ENV=str(active)
    )
    assert (done.returncode, done.stderr) == (7, "")  # the exit code of render.py
    probe, render = (active / "bin" / CALLS).read_text().splitlines()
    assert probe == "- anifacegan"
    assert render == f"{checkout}/render.py --config {checkout}/configs/render_smile.yaml --seeds 3 --out a b"
    assert not (checkout / ".venv").exists()


def test_an_environment_without_the_package_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    active, own = tmp_path / "active", checkout / ".venv" / "bin" / "python"
    stand_in(active / "bin" / "python", "exit 1")
    stand_in(own, "")
    done = start(checkout / "render.sh", cwd=tmp_path, CONDA_PREFIX=str(active))
    assert done.returncode == 0, done.stderr
    assert "lacks one of: anifacegan" in done.stderr
    assert (active / "bin" / CALLS).read_text() == "- anifacegan\n"
    assert (own.parent / CALLS).read_text().splitlines()[-1].startswith(f"{checkout}/render.py")


def test_set_up_runs_once_and_again_when_the_pins_change(checkout: Path, tmp_path: Path) -> None:
    own = checkout / ".venv" / "bin" / "python"
    stand_in(own, "")

    def installs() -> int:
        (own.parent / CALLS).unlink(missing_ok=True)
        assert start(checkout / "render.sh", cwd=tmp_path).returncode == 0
        return (own.parent / CALLS).read_text().count("-m pip install")

    assert installs() == 2  # the requirements, then the package
    assert installs() == 0
    with (checkout / "requirements.txt").open("a") as file:
        file.write("one-more==1.0\n")
    assert installs() == 2
    assert installs() == 0


def test_the_tests_need_more_than_rendering(checkout: Path, tmp_path: Path) -> None:
    own = checkout / ".venv" / "bin" / "python"
    stand_in(own, "")
    assert start(checkout / "render.sh", cwd=tmp_path).returncode == 0
    assert start(checkout / "scripts" / "test.sh", "-k", "one claim", cwd=tmp_path).returncode == 0
    calls = (own.parent / CALLS).read_text()
    assert "requirements-dev.txt" in calls
    assert "--no-deps -r " + str(checkout / "requirements-face-model.txt") in calls
    build, tests = calls.splitlines()[-2:]
    assert build == "-m anifacegan.cli face-model"
    assert re.fullmatch(r"-m pytest -n [1-4] --dist \w+ -k one claim", tests)


def test_a_failed_set_up_is_not_taken_for_a_finished_one(checkout: Path, tmp_path: Path) -> None:
    own = checkout / ".venv" / "bin" / "python"
    stand_in(own, 'case "$*" in *requirements.txt) exit 1;; esac')
    done = start(checkout / "render.sh", cwd=tmp_path)
    assert done.returncode == 1
    assert "the next start tries again" in done.stderr
    assert (checkout / ".venv" / "unfinished").exists()
    assert not list((checkout / ".venv").glob("*.stamp"))


@pytest.fixture
def few_tools(tmp_path: Path) -> Path:
    """A folder for PATH that holds what the scripts need besides Python; no Python of the machine is seen."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("awk", "bash", "cat", "cksum", "df", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return tools


def stand_in_python(path: Path, version: str) -> None:
    """A Python that prints this version and can do nothing else."""
    stand_in(path, f'case "$2" in *python_version*) echo {version};; *venv*) exit 1;; esac')


@pytest.mark.parametrize("version", ["3.11.0", "3.12.9", "3.13.2"])
@pytest.mark.parametrize("name", ["python3", "python3.12"])
def test_a_python_that_the_pins_exist_for_is_used(
    checkout: Path, few_tools: Path, name: str, version: str
) -> None:
    stand_in_python(few_tools / name, version)
    done = start(checkout / "render.sh", cwd=checkout, PATH=str(few_tools))
    assert (
        f"set-up failed at '{few_tools / name} -m venv" in done.stderr
    )  # it was asked to make the environment


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"python3": "3.10.13"}, "needs Python 3.11 to 3.13; python3 is 3.10.13 (PYTHON="),
        ({"python3": "3.14.0"}, "needs Python 3.11 to 3.13; python3 is 3.14.0 (PYTHON="),
        ({"python3.12": "3.1.12"}, "python3.12 is 3.1.12"),
        ({}, "there is no python3 here"),
    ],
)
def test_no_fitting_python_is_one_line_and_exit_code_2(
    checkout: Path, few_tools: Path, versions: dict[str, str], said: str
) -> None:
    for name, version in versions.items():
        stand_in_python(few_tools / name, version)
    done = start(checkout / "render.sh", cwd=checkout, PATH=str(few_tools))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and said in done.stderr


def test_the_python_that_the_user_names_is_the_only_one_tried(checkout: Path, few_tools: Path) -> None:
    stand_in_python(few_tools / "python3", "3.11.7")
    stand_in_python(few_tools / "mine", "3.9.1")
    done = start(checkout / "render.sh", cwd=checkout, PATH=str(few_tools), PYTHON="mine")
    assert done.returncode == 2 and "mine is 3.9.1" in done.stderr
    done = start(checkout / "render.sh", cwd=checkout, PATH=str(few_tools), PYTHON="none")
    assert done.returncode == 2 and "there is no none here" in done.stderr


def test_the_cpu_index_in_front_of_the_command_replaces_the_builds_for_gpus(tmp_path: Path) -> None:
    """``PIP_EXTRA_INDEX_URL=... ./render.sh``, as README.md says it, with two indices of empty wheels."""
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch")]
    assert [pin.partition("==")[0] for pin in pins] == ["torch", "torchvision"]
    for pin in pins:
        name, _, version = pin.partition("==")
        add_to_index(tmp_path / "default", name, version)
        add_to_index(tmp_path / "cpu", name, f"{version}+cpu")
    found = resolved(pins, PIP_INDEX_URL=(tmp_path / "default").as_uri())
    assert found == sorted(pins)
    indices = {"PIP_INDEX_URL": "default", "PIP_EXTRA_INDEX_URL": "cpu"}
    found = resolved(pins, **{name: (tmp_path / folder).as_uri() for name, folder in indices.items()})
    assert found == sorted(f"{pin}+cpu" for pin in pins)


def add_to_index(index: Path, name: str, version: str) -> None:
    """Add an empty wheel to a package index in a folder."""
    wheel = index / name / f"{name}-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    link = f'<a href="{quote(wheel.name)}">{wheel.name}</a>'
    (index / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")


def resolved(pins: list[str], **environment: str) -> list[str]:
    """What pip would install for these requirements into an empty environment; nothing is installed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    options = ["--ignore-installed", "--no-cache-dir", "--disable-pip-version-check"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= own | {"PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([*command, *options, *pins], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    items = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return sorted(f"{item['name']}=={item['version']}" for item in items)


@pytest.mark.parametrize(("free_gb", "warned"), [(4, True), (40, False), (None, False)])
def test_a_disk_that_is_too_full_for_the_set_up_is_named(
    checkout: Path, tmp_path: Path, free_gb: int | None, warned: bool
) -> None:
    tools = tmp_path / "tools"
    if free_gb is None:
        stand_in(tools / "df", "exit 1")
    else:
        disk = f"/dev/vda 264241152 0 {free_gb * 1048576 + 5} 1% /"
        stand_in(
            tools / "df", f"echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo '{disk}'"
        )
    stand_in(tools / "python3", 'case "$2" in *platform*) echo 3.11.7;; *venv*) exit 1;; esac')
    done = start(checkout / "render.sh", cwd=tmp_path, PATH=f"{tools}:{os.environ['PATH']}", PYTHON="python3")
    said = f"{free_gb} GB are free on the disk of {checkout}; pip needs about 9 GB while it works"
    assert ("GB are free" in done.stderr) == (said in done.stderr) == warned, done.stderr
    assert "set-up failed at" in done.stderr and (tools / CALLS).read_text().count("-m venv") == 1
