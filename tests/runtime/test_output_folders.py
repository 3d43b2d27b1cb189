"""A folder of results is complete or as it was before, and nothing in it is replaced that is not ours."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.interrupts import INTERRUPTS
from anifacegan.runtime.locks import LOCK
from anifacegan.runtime.output_folders import (
    MANIFEST,
    MARKER,
    claim,
    filled_when_complete,
    note_contents,
    own_files,
    remove_unfinished,
    require_room,
    still_own,
    write_noted,
)
from tests.fixtures.small_disk import files_of_at_most

ROOT = Path(__file__).resolve().parents[2]


def contents(folder: Path) -> dict[str, str]:
    """The texts of all files but the marker."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


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
        MARKER,
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


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with filled_when_complete(tmp_path / "out") as folder:
        (folder / "a.png").write_text("first")
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* is writing here"):
            fill(tmp_path / "out", {"a.png": "second"})
    assert contents(tmp_path / "out") == {"a.png": "first"}
    assert not (tmp_path / "out" / LOCK).exists()


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


def test_frames_of_an_earlier_longer_run_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They stay, as they are not replaced by name, and would be mistaken for frames of the new run."""
    frames = {f"seed7/frame_{k:03d}.png": "old" for k in range(5)}
    fill(tmp_path / "out", frames | {"seed7.mp4": "old", "seed7/notes.txt": "old"})
    assert capsys.readouterr().err == ""
    fill(tmp_path / "out", dict(list(frames.items())[:3]) | {"seed8.mp4": "new"})
    said = capsys.readouterr().err
    assert said == (
        f"{tmp_path / 'out'}: beside the new files, 2 of an earlier run stay, the first is seed7/frame_003.png\n"
    )
    (tmp_path / "out" / "seed7" / "frame_003.png").unlink()
    (tmp_path / "out" / "seed7" / "frame_004.png").unlink()
    fill(
        tmp_path / "out",
        {"seed7/frame_000.png": "new", "seed7/frame_001.png": "x", "seed7/frame_002.png": "x"},
    )
    assert capsys.readouterr().err == ""


def test_what_belongs_to_an_earlier_run_is_said_where_a_run_is_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cameras and films of other frames, with the names that the new run's would have, look like its own."""
    out = tmp_path / "out"
    with filled_when_complete(out, whole=True) as folder:
        (folder / "seed7").mkdir()
        for name in ("dataset.json", "seed7.mp4", "seed7/depth_000.png", "seed7/frame_000.png"):
            (folder / name).write_text("old")
    (out / "notes.txt").write_text("mine")
    with filled_when_complete(out, whole=True) as folder:
        (folder / "seed7").mkdir()
        (folder / "seed7" / "frame_000.png").write_text("new")
    said = capsys.readouterr().err
    assert said == f"{out}: beside the new files, 3 of an earlier run stay, the first is dataset.json\n"


NO_LISTS = [
    '["mine.txt", "../mine.txt"]',
    '["/etc/passwd"]',
    "3",
    "[3]",
    '{"mine.txt": 1}',
    '["mine.txt", ""]',
    '["mine.txt", "a\\u0000b"]',
]
"""What a marker may say of its files that no marker of ours says."""


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", "", '{"files": ["mine.txt"]}', '{"program": "other", "files": ["mine.txt"]}']
)
def test_a_foreign_marker_owns_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(content)
    assert own_files(tmp_path) == set()
    with pytest.raises(InputError, match=f"{MARKER}: is in the way and was not written by"):
        fill(tmp_path, {"a.png": "new"})
    assert [path.name for path in tmp_path.iterdir()] == [MARKER] and (
        tmp_path / MARKER
    ).read_text() == content


@pytest.mark.parametrize("files", NO_LISTS)
def test_a_marker_with_a_name_outside_the_folder_owns_nothing(files: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(f'{{"program": "anifacegan", "files": {files}}}')
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="mine.txt: is in the way and was not written by anifacegan"):
        require_room(tmp_path, ["mine.txt"])


@pytest.mark.parametrize("name", ["a.png", "sub/b.png", MANIFEST])
def test_a_file_of_others_is_replaced_only_if_that_is_asked_for(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is in the way .* or --overwrite true"):
        require_room(out, [name], overwrite=False)
    with pytest.raises(
        InputError, match=f"{name}: is in the way .*, expected another --out, or that file moved away$"
    ):
        fill(out, {"a.png": "new", "sub/b.png": "new"})  # as a command without that option
    assert contents(out) == {name: "mine"} and not (out / MARKER).exists()
    with filled_when_complete(out, overwrite=True) as folder:
        (folder / "a.png").write_text("new")
        (folder / MANIFEST).write_text("new")
    assert contents(out) == {name: "mine"} | {"a.png": "new", MANIFEST: "new"}


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    for name in ("sub/b.png", "a.png"):
        with pytest.raises(InputError):
            fill(tmp_path / "out", {name: "new"})
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_claimed_and_noted_may_be_replaced_later(tmp_path: Path) -> None:
    claim(tmp_path / "out", ["a"])
    claim(tmp_path / "out", ["b", "sub/c"])
    (tmp_path / "out" / "a").write_text("ours or not")
    with pytest.raises(InputError, match="a: is in the way"):
        claim(tmp_path / "out", ["a"])
    note_contents(tmp_path / "out", ["a"])
    claim(tmp_path / "out", ["a"])
    require_room(tmp_path / "out", ["a"])
    assert own_files(tmp_path / "out") == {"a", "b", "sub/c"}


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
    claim(tmp_path / "out", ["a.png"])
    (tmp_path / "out" / "a.png").write_text("old")
    note_contents(tmp_path / "out", ["a.png"])
    with pytest.raises(InputError, match=r"sub/b\.png: is a f"):
        fill(tmp_path / "out", {"a.png": "new", target: "new"})
    assert contents(tmp_path / "out") == {there: "mine", "a.png": "old"}


def left_behind(pid: int, host: str = socket.gethostname(), program: str = "anifacegan") -> str:
    return json.dumps({"program": program, "host": host, "pid": pid})


def test_what_a_killed_process_left_is_removed_by_name(tmp_path: Path) -> None:
    """And what lies beside it, has a similar name, or belongs to another program, machine or living process, stays."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    markers = {
        "unfinished-12-abcdefgh": left_behind(ended.pid),
        "unfinished-7-abc_e123": left_behind(ended.pid),
        "unfinished-8-abcdefgh": left_behind(os.getpid()),
        "unfinished-9-abcdefgh": left_behind(ended.pid, host="elsewhere"),
        "unfinished-10-abcdefgh": left_behind(ended.pid, program="other"),
        "unfinished-11-abcdefgh": "{",
        "unfinished-thoughts": None,
    }
    for name, marker in markers.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text("")
        if marker is not None:
            (tmp_path / name / MARKER).write_text(marker)
    (tmp_path / "unfinished-12-abcdefgh" / "mine.txt").write_text("")
    remove_unfinished(tmp_path, ("a.png", "b.png"))
    left = {"unfinished-12-abcdefgh/mine.txt"} | {f"{name}/a.png" for name in list(markers)[2:]}
    assert contents(tmp_path).keys() == left
    assert not (tmp_path / "unfinished-7-abc_e123").exists()


def test_a_terminated_process_leaves_no_trace(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from pathlib import Path\n"
        "from anifacegan.runtime.output_folders import filled_when_complete\n"
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


@pytest.mark.parametrize("number", INTERRUPTS)
def test_a_signal_while_files_move_waits_until_all_have_moved(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the first frames were the new run's, and the rest and the manifest the old one's."""
    names = [f"seed7/frame_{k}.png" for k in range(4)]
    fill(tmp_path, dict.fromkeys(names, "old"))
    replace = os.replace

    def replace_and_signal(source: Path, target: Path) -> None:
        replace(source, target)
        signal.raise_signal(number)

    before = signal.signal(number, signal.default_int_handler)
    monkeypatch.setattr(os, "replace", replace_and_signal)
    try:
        with pytest.raises(KeyboardInterrupt):
            fill(tmp_path, dict.fromkeys(names, "new"))
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    manifest = json.dumps({"files": names})
    assert contents(tmp_path) == dict.fromkeys(names, "new") | {MANIFEST: manifest}
    assert not list(tmp_path.glob("unfinished-*"))


@pytest.mark.parametrize("name", ["a" * 300, "\u00fc" * 130, "/".join(["a" * 250] * 17)])
def test_a_name_that_is_too_long_is_one_line(name: str, tmp_path: Path) -> None:
    for call in (
        lambda: require_room(tmp_path, [name]),
        lambda: require_room(tmp_path / name, ["a.png"]),
        lambda: claim(tmp_path / name, ["a.png"]),
        lambda: fill(tmp_path / name, {"a.png": "1"}),
    ):
        with pytest.raises(InputError, match="File name too long"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    names = {"\u00fc" * 125 + ".png": "1", "a" * 251 + ".mat": "2"}
    fill(tmp_path / ("o" * 255), names)
    fill(tmp_path / ("o" * 255), names)
    assert contents(tmp_path / ("o" * 255)).keys() == {*names, MANIFEST}
    for name in names:
        write_complete(tmp_path / name, b"1")
    assert {path.name for path in tmp_path.iterdir()} == {*names, "o" * 255}


def test_a_file_that_somebody_replaced_is_theirs(tmp_path: Path) -> None:
    fill(tmp_path, {"a.png": "ours", "b.png": "ours"})
    (tmp_path / "b.png").write_text("mine")
    with pytest.raises(InputError, match="b.png: is in the way and was not written by anifacegan"):
        fill(tmp_path, {"a.png": "new", "b.png": "new"})
    assert contents(tmp_path)["a.png"] == "ours" and contents(tmp_path)["b.png"] == "mine"
    with filled_when_complete(tmp_path, overwrite=True) as folder:
        (folder / "b.png").write_text("new")
    fill(tmp_path, {"a.png": "again", "b.png": "again"})
    assert contents(tmp_path)["b.png"] == "again"


def test_a_link_in_the_place_of_a_result_is_somebody_s(tmp_path: Path) -> None:
    fill(tmp_path / "out", {"a.png": "ours"})
    (tmp_path / "out" / "a.png").rename(tmp_path / "moved.png")
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "moved.png")
    with pytest.raises(InputError, match="a.png: is in the way"):
        fill(tmp_path / "out", {"a.png": "new"})


def test_a_marker_of_another_folder_owns_no_file(tmp_path: Path) -> None:
    fill(tmp_path / "r1", {"sheet.png": "ours"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sheet.png").write_text("mine")
    (tmp_path / "other" / MARKER).write_bytes((tmp_path / "r1" / MARKER).read_bytes())
    with pytest.raises(InputError, match="sheet.png: is in the way"):
        fill(tmp_path / "other", {"sheet.png": "new"})


def test_a_list_of_an_earlier_version_owns_by_name(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"program": "anifacegan", "files": ["a.png"]}')
    (tmp_path / "a.png").write_text("ours")
    fill(tmp_path, {"a.png": "new"})
    assert contents(tmp_path)["a.png"] == "new"
    (tmp_path / "a.png").write_text("mine")  # from now on, what it holds is known
    with pytest.raises(InputError, match="a.png: is in the way"):
        fill(tmp_path, {"a.png": "newer"})


@pytest.mark.parametrize("noted", ["3", '{"a.png": 3}', '{"a.png": []}', '{"a.png": ["4 0"]}', '"a.png"'])
def test_contents_that_no_marker_of_ours_notes_prove_nothing(noted: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(f'{{"program": "anifacegan", "files": ["a.png"], "contents": {noted}}}')
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(InputError, match="a.png: is in the way"):
        require_room(tmp_path, ["a.png"])


def test_what_is_written_and_noted_is_ours_until_somebody_changes_it(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_noted(tmp_path, "a.txt", text)
        assert contents(tmp_path) == {"a.txt": text} and still_own(tmp_path, ["a.txt"])
    (tmp_path / "a.txt").write_text("mine")
    assert not still_own(tmp_path, ["a.txt"])


def test_if_writing_fails_what_is_noted_is_still_the_file_before(tmp_path: Path) -> None:
    write_noted(tmp_path, "a.txt", "first")
    with files_of_at_most(1000), pytest.raises(InputError, match="File too large"):
        write_noted(tmp_path, "a.txt", "x" * 1001)
    assert contents(tmp_path) == {"a.txt": "first"} and still_own(tmp_path, ["a.txt"])


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("moves", range(4))
def test_killed_while_files_move_a_run_can_be_repeated(earlier: bool, moves: int, tmp_path: Path) -> None:
    """Then some files are the old run's and some the new one's, and all are ours."""
    names = ("a.png", "b.png")
    if earlier:
        fill(tmp_path, dict.fromkeys(names, "old"))
    child = os.fork()
    if not child:
        replace, count = os.replace, iter(range(10))

        def replace_or_die(source: Path, target: Path) -> None:
            if next(count) == moves:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        os.replace = replace_or_die
        fill(tmp_path, dict.fromkeys(names, "new"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    fill(tmp_path, dict.fromkeys(names, "again"))
    assert {contents(tmp_path)[name] for name in names} == {"again"}
    (tmp_path / "a.png").write_text("old")  # which is no longer what the folder's list notes
    with pytest.raises(InputError, match="a.png: is in the way"):
        fill(tmp_path, dict.fromkeys(names, "more"))
