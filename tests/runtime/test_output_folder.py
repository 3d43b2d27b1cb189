"""The output folder is complete or untouched."""

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

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import MANIFEST, filled_when_complete, remove_unfinished

ROOT = Path(__file__).resolve().parents[2]


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


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["unfinished-1", f"unfinished-{os.getpid()}", "unfinished-thoughts"])
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
    kept = ("unfinished-12-abcdefgh/mine.txt", "unfinished-thoughts/a.png", "unfinished-12/a.png", "a.png")
    for name in (*kept, "unfinished-12-abcdefgh/a.png", "unfinished-7-abc_e123/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    remove_unfinished(tmp_path, ("a.png", "b.png"))
    assert contents(tmp_path).keys() == set(kept)
    assert not (tmp_path / "unfinished-7-abc_e123").exists()


def test_a_terminated_process_leaves_no_trace(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from pathlib import Path\n"
        "from anifacegan.output_folder import filled_when_complete\n"
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
