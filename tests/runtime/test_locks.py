"""One writer for a folder."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.locks import LOCK, FileLock, FolderLock
from tests.fixtures.small_disk import files_of_at_most

ROOT = Path(__file__).resolve().parents[2]
HOLD = (
    "import sys, time; from pathlib import Path; from anifacegan.runtime.locks import FolderLock\n"
    "lock = FolderLock(Path(sys.argv[1])); lock.take(); print('held', flush=True); time.sleep(60)\n"
)


def test_a_lock_names_its_process_and_goes_with_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.take()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    with pytest.raises(InputError, match=f"process {os.getpid()} on .* is writing here"):
        FolderLock(tmp_path).take()
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path).take()


def test_another_process_is_refused_until_it_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {holder.pid} on .* is writing here"):
            FolderLock(tmp_path).take()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    FolderLock(tmp_path).take()
    assert f"taken over from process {holder.pid} on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [b"precious", b"{}", b"[]", b"\xff", b'{"pid": 1}', b'{"host": "a", "pid": 1, "more": 2}', b" " * 9999],
)
def test_a_file_that_is_no_lock_is_refused_and_stays(content: bytes, tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / LOCK).write_bytes(content)
    for _ in range(2):  # the refused attempt holds no lock
        with pytest.raises(InputError, match="is in the way and no lock of ours"):
            lock.take()
    lock.release()
    assert (tmp_path / LOCK).read_bytes() == content


@pytest.mark.parametrize("content", [b"{", b'{"host": "a", "pi', bytes(40)])
def test_what_a_power_cut_has_left_of_a_lock_is_taken_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_bytes())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("content", [b"", b'{"host": "a", "pid": 1}'])
def test_a_file_with_a_second_name_is_refused_and_stays(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(content)
    os.link(tmp_path / "mine", tmp_path / LOCK)
    with pytest.raises(InputError, match="is in the way and no lock of ours"):
        FolderLock(tmp_path).take()
    assert (tmp_path / "mine").read_bytes() == content and (tmp_path / LOCK).exists()


def test_an_empty_file_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("before", [None, b'{"host": "a", "pid": 1}'])
def test_a_full_disk_leaves_no_half_lock(before: bytes | None, tmp_path: Path) -> None:
    if before is not None:
        (tmp_path / LOCK).write_bytes(before)
    with files_of_at_most(8), pytest.raises(InputError, match="cannot be written"):
        FolderLock(tmp_path).take()
    assert list(tmp_path.iterdir()) == []


def test_what_took_the_place_of_a_lock_or_was_written_into_it_stays(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text('{"host": "a", "pid": 1}')
    assert (tmp_path / LOCK).exists()
    with FolderLock(tmp_path):
        (tmp_path / LOCK).write_text("precious")
    assert (tmp_path / LOCK).read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="cannot be written"):
        FolderLock(tmp_path).take()
    assert not (tmp_path / "mine.txt").exists()


def test_a_file_has_a_lock_of_its_own_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("\u00fc" * 120 + ".glb")
    with FileLock(path), FileLock(tmp_path / "b.glb"):
        assert len(list(tmp_path.iterdir())) == 2 and not path.exists()
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* is writing here"):
            FileLock(path).take()
    assert list(tmp_path.iterdir()) == []


def test_the_patient_wait_for_the_end_of_another(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("sleep(60)", "sleep(0.3)"), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with FolderLock(tmp_path, patience_s=60.0):
            pass


@pytest.mark.parametrize("mine", [None, b"precious"])
def test_a_file_system_without_locks_is_named_and_written(
    mine: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    if mine is not None:
        (tmp_path / LOCK).write_bytes(mine)
    with FolderLock(tmp_path):
        pass
    assert capsys.readouterr().err.count("no locks here") == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if mine is None else [mine])
