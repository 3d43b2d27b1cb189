"""A file is complete or as it was before, whatever happens while it is written."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anifacegan.runtime import files
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import (
    complete_or_absent,
    remove_abandoned,
    remove_leftovers,
    write_complete,
)

ROOT = Path(__file__).resolve().parents[2]


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_content_arrives_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_complete(tmp_path / "a.bin", b"\x00\xff")
    write_complete(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.txt"]


def test_the_new_content_is_not_visible_before_the_end(tmp_path: Path) -> None:
    write_complete(tmp_path / "a", "old")
    with complete_or_absent(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # a rename is atomic within one file system
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


def test_the_content_is_on_the_disk_before_the_file_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    write_complete(tmp_path / "a", "new")
    assert order == ["fsync", "replace"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("bug"), InputError("bad")])
def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, error: BaseException) -> None:
    write_complete(tmp_path / "a", "old")
    with pytest.raises(type(error)), complete_or_absent(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_is_one_line_that_names_the_file(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, where, full_disk)
    with pytest.raises(InputError) as caught:
        write_complete(tmp_path / "a", "new")
    assert str(caught.value) == f"{tmp_path / 'a'}: cannot be written (No space left on device)"
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_device_is_one_line(tmp_path: Path) -> None:
    """/dev/full refuses every byte."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(InputError, match="a: cannot be written .No space left on device"):
        with complete_or_absent(tmp_path / "a"):
            Path("/dev/full").write_text("x")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere/a: cannot be written .No such file or directory"):
        write_complete(tmp_path / "nowhere" / "a", "new")


def test_a_folder_in_the_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="a: cannot be written"):
        write_complete(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from anifacegan.runtime.files import complete_or_absent\n"
        "with complete_or_absent(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_text() == "old"


def test_a_temporary_name_cannot_be_foreseen_or_taken(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with complete_or_absent(tmp_path / "a") as temporary:
            names.add(temporary.name)
            assert temporary.stat().st_size == 0  # it is there already, made exclusively
    assert len(names) == 3


def test_a_long_name_has_a_temporary_name_that_is_not_too_long(tmp_path: Path) -> None:
    write_complete(tmp_path / ("x" * 250), "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 250]


def test_only_leftovers_of_the_named_files_are_removed(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    stay = [f".b.7.{token}.tmp", ".a.7.tmp", ".a.tmp", "a.tmp", f".a.7.{token}.tmp.tmp", f"a.7.{token}.tmp"]
    for name in (*stay, f".a.7.{token}.tmp"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def test_files_are_renamed_into_place_by_this_module_only() -> None:
    sources = [*ROOT.glob("anifacegan/**/*.py"), *ROOT.glob("scripts/*.py"), *ROOT.glob("*.py")]
    renaming = {path.name for path in sources if "os.replace(" in path.read_text()}
    assert renaming == {Path(files.__file__).name}


def test_a_temporary_file_goes_when_its_process_has_ended_long_ago(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = "0123456789abcdef.tmp"
    old, new = (tmp_path / f".a.png.{dead.pid}.{digit}{mark[1:]}" for digit in "12")
    running, other = tmp_path / f".a.png.{os.getpid()}.{mark}", tmp_path / f".b.png.{dead.pid}.{mark}"
    for path in (old, new, running, other):
        path.write_text("half")
        os.utime(path, None if path == new else (0, 0))
    remove_abandoned(tmp_path / "a.png")
    assert not old.exists() and all(path.exists() for path in (new, running, other))


def test_names_that_are_no_utf_8_are_escaped_in_texts(tmp_path: Path) -> None:
    """Markdown tables name models and data sets; the whole computation would be lost with its last file."""
    write_complete(tmp_path / "table.md", f"model {os.fsdecode(b'm' + bytes([255]))}, é")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "model m\\udcff, é"
