"""A file or a folder is complete or as it was before, whatever happens while it is written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from anifacegan.runtime import files
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import (
    MANIFEST,
    complete_or_absent,
    filled_when_complete,
    remove_unfinished,
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


def test_files_are_renamed_into_place_by_this_module_only() -> None:
    sources = [*ROOT.glob("anifacegan/**/*.py"), *ROOT.glob("scripts/*.py"), *ROOT.glob("*.py")]
    renaming = {path.name for path in sources if "os.replace(" in path.read_text()}
    assert renaming == {Path(files.__file__).name}


# --------------------------------------------------------------------------------------- folders of results
def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def fill(out: Path, files: dict[str, str]) -> None:
    with filled_when_complete(out) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / MANIFEST).write_text(json.dumps({"files": list(files)}))


def test_everything_arrives_and_nothing_else_is_left(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "out", {"sheet.png": "1", "seed1/frame_000.png": "2"})
    assert contents(tmp_path / "a" / "out").keys() == {"sheet.png", "seed1/frame_000.png", MANIFEST}
    assert sorted(path.name for path in (tmp_path / "a" / "out").iterdir()) == [
        MANIFEST,
        "seed1",
        "sheet.png",
    ]


def test_no_result_is_visible_before_the_end(tmp_path: Path) -> None:
    fill(tmp_path / "out", {"a.png": "old"})
    with filled_when_complete(tmp_path / "out") as folder:
        (folder / "a.png").write_text("new")
        assert (tmp_path / "out" / "a.png").read_text() == "old"
    assert (tmp_path / "out" / "a.png").read_text() == "new"


@pytest.mark.parametrize("error", [InputError("bad"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, error: BaseException) -> None:
    fill(tmp_path / "out", {"a.png": "old", "seed1/b.png": "old"})
    before = contents(tmp_path / "out")
    with pytest.raises(type(error)), filled_when_complete(tmp_path / "out") as folder:
        (folder / "a.png").write_text("new")
        raise error
    assert contents(tmp_path / "out") == before
    assert not list((tmp_path / "out").glob("unfinished*"))


def test_a_failure_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError), filled_when_complete(tmp_path / "a" / "out"):
        raise InputError("bad")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\)$"):
        with filled_when_complete(tmp_path / "out"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: is a file"), filled_when_complete(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"


def test_files_of_the_same_name_are_replaced_and_all_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, {"seed1/frame_000.png": "1", "seed1/frame_001.png": "1", "seed2/frame_000.png": "1"})
    (out / "notes.txt").write_text("mine")
    (out / "seed2" / "mine.png").write_text("mine")
    fill(out, {"seed1/frame_000.png": "2", "seed3/frame_000.png": "2"})
    found = contents(out)
    assert json.loads(found.pop(MANIFEST)) == {"files": ["seed1/frame_000.png", "seed3/frame_000.png"]}
    assert found == {
        "seed1/frame_000.png": "2", "seed1/frame_001.png": "1", "seed2/frame_000.png": "1",
        "seed3/frame_000.png": "2", "notes.txt": "mine", "seed2/mine.png": "mine",
    }  # fmt: skip


@pytest.mark.parametrize(
    "files", ['["mine.txt", "sub/mine.txt"]', '["../mine.txt"]', '["ABSOLUTE"]', "3", "[3]", "{"]
)
def test_no_file_that_a_manifest_lists_is_removed(tmp_path: Path, files: str) -> None:
    """The manifest may be anybody's."""
    mine = [tmp_path / "mine.txt", tmp_path / "out" / "mine.txt", tmp_path / "out" / "sub" / "mine.txt"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (tmp_path / "out" / MANIFEST).write_text(f'{{"files": {files.replace("ABSOLUTE", str(mine[0]))}}}')
    fill(tmp_path / "out", {"a.png": "1"})
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert contents(tmp_path / "out").keys() == {"a.png", "mine.txt", "sub/mine.txt", MANIFEST}


@pytest.mark.parametrize(
    "name",
    ["unfinished-1", pytest.param(f"unfinished-{os.getpid()}", id="of this process"), "unfinished-thoughts"],
)
@pytest.mark.parametrize("fails", [False, True])
def test_folders_with_a_similar_name_stay(tmp_path: Path, name: str, fails: bool) -> None:
    mine = tmp_path / "out" / name / "a.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with suppress(InputError), filled_when_complete(tmp_path / "out") as folder:
        (folder / "a.png").write_text("new")
        if fails:
            raise InputError("bad")
    assert contents(tmp_path / "out") == {f"{name}/a.png": "mine"} | ({} if fails else {"a.png": "new"})


@pytest.mark.parametrize(
    ("there", "target"), [("sub/b.png/c.png", "sub/b.png"), ("sub/b.png", "sub/b.png/c.png")]
)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_replaced(
    tmp_path: Path, there: str, target: str
) -> None:
    (tmp_path / "out" / there).parent.mkdir(parents=True)
    (tmp_path / "out" / there).write_text("mine")
    (tmp_path / "out" / "a.png").write_text("old")
    with pytest.raises(InputError, match=r"sub/b\.png: is a f"):
        fill(tmp_path / "out", {"a.png": "new", target: "new"})
    assert contents(tmp_path / "out") == {there: "mine", "a.png": "old"}


def test_what_a_killed_process_left_is_removed_by_name(tmp_path: Path) -> None:
    """And what lies beside it, or has a similar name, stays."""
    untouched = (
        "unfinished-12-abcdefgh/mine.txt",
        "unfinished-thoughts/a.png",
        "unfinished-12/a.png",
        "a.png",
    )
    for name in (*untouched, "unfinished-12-abcdefgh/a.png", "unfinished-7-abc_e123/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    remove_unfinished(tmp_path, ("a.png", "b.png"))
    assert contents(tmp_path).keys() == set(untouched)
    assert not (tmp_path / "unfinished-7-abc_e123").exists()


def test_a_terminated_process_leaves_no_trace(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from pathlib import Path\n"
        "from anifacegan.runtime.files import filled_when_complete\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "with filled_when_complete(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'a.png').write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        process.wait(timeout=30)
        assert time.monotonic() - started < 30
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []
