"""A folder that grows has one writer, keeps what others wrote, and is as before if nothing could be written."""

import os
import signal
from pathlib import Path

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.output_folders import MARKER, own_files
from anifacegan.runtime.written_notes import NOTES
from tests.fixtures.one_line import assert_one_line


def test_files_are_claimed_as_they_are_written_and_written_again(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with GrowingFolder(tmp_path / "new" / "out") as folder:
            write_complete(folder.file("faces/a.png"), text)
    out = tmp_path / "new" / "out"
    assert (out / "faces" / "a.png").read_text() == "two"
    assert own_files(out) == {"faces/a.png"}
    assert sorted(path.name for path in out.iterdir()) == [MARKER, "faces"]


def test_a_run_that_fails_before_its_first_file_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError), GrowingFolder(tmp_path / "new" / "out") as folder:
        folder.file("faces/a.png")
        raise InputError("no face")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with GrowingFolder(tmp_path / "out") as folder:
        write_complete(folder.file("a.png"), "kept")
    before = (tmp_path / "out" / MARKER).read_bytes()
    with pytest.raises(InputError), GrowingFolder(tmp_path / "out") as folder:
        folder.file("b.png")
        raise InputError("no face")
    assert own_files(tmp_path / "out") == {"a.png"} and (tmp_path / "out" / MARKER).read_bytes() == before


def test_what_was_written_before_a_failure_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError), GrowingFolder(tmp_path / "out") as folder:
        write_complete(folder.file("a.png"), "whole")
        raise InputError("disk full")
    assert own_files(tmp_path / "out") == {"a.png"} and (tmp_path / "out" / "a.png").read_text() == "whole"


def test_files_of_others_and_inputs_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.require_room(["a.png"]), "a.png: is in the way")
        assert_one_line(lambda: folder.file("a.png"), "a.png: is in the way")
    with GrowingFolder(tmp_path, overwrite=True) as folder:
        folder.require_room(["a.png"])
        (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
        for photograph in (tmp_path / "a.png", tmp_path / "link.png"):
            assert_one_line(
                lambda photograph=photograph: folder.require_room(["a.png"], [photograph]),
                "a.png: is read and would be replaced",
            )
    assert (tmp_path / "a.png").read_text() == "mine"


def test_a_second_writer_is_refused_from_the_first_file_on(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path / "out") as first, GrowingFolder(tmp_path / "out") as second:
        write_complete(first.file("a.png"), "first")
        assert_one_line(lambda: second.file("b.png"), "is writing here")
    assert own_files(tmp_path / "out") == {"a.png"}


def test_leftovers_of_a_killed_run_go_and_files_of_others_stay(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        write_complete(folder.file("faces/a.png"), "whole")
    ours, theirs = (tmp_path / "faces" / f".{name}.12.0123456789abcdef.tmp" for name in ("a.png", "b.png"))
    ours.write_text("half")
    theirs.write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        folder.file("faces/a.png")
    assert not ours.exists() and theirs.exists()


def test_only_claimed_files_are_removed_and_are_ours_no_longer(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.txt").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        write_complete(folder.file("earlier/a.npy"), "ours")
    with GrowingFolder(tmp_path) as folder:
        for name in ("a.npy", "work/a.npy", "other/a.npy"):
            write_complete(folder.file(name), "ours")
        folder.remove(["work/a.npy", "work/mine.txt", "other/a.npy", "earlier/a.npy"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == [MARKER, "a.npy", "mine.txt", "work"]
    assert own_files(tmp_path) == {"a.npy"}


def test_nothing_is_removed_behind_a_link(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path / "out") as folder:
        write_complete(folder.file("faces/a.png"), "ours")
    (tmp_path / "out" / "faces").rename(tmp_path / "moved")
    (tmp_path / "out" / "faces").symlink_to(tmp_path / "moved")
    with GrowingFolder(tmp_path / "out") as folder:
        folder.remove(["faces/a.png"])
    assert (tmp_path / "moved" / "a.png").read_text() == "ours"


def test_a_claimed_file_that_was_not_written_is_ours_no_longer(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png", "faces/b.png"])
        write_complete(tmp_path / "a.png", "ours")
    assert own_files(tmp_path) == {"a.png"}
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "b.png").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.claim(["a.png", "faces/b.png"]), "b.png: is in the way")


def test_a_file_of_others_that_was_claimed_and_not_replaced_stays_theirs(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError), GrowingFolder(tmp_path, overwrite=True) as folder:
        folder.claim(["a.png", "b.png"])
        write_complete(folder.file("a.png"), "ours")
        raise InputError("no face")
    assert own_files(tmp_path) == {"a.png"} and (tmp_path / "b.png").read_text() == "mine"


def test_what_a_killed_worker_left_half_written_goes_with_the_claim(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png", "b.png"])
        write_complete(tmp_path / "a.png", "ours")
        (tmp_path / ".b.png.12.0123456789abcdef.tmp").write_text("half")
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, "a.png"]


def test_what_somebody_put_in_the_place_of_a_file_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        for name in ("a.png", "b.png"):
            write_complete(folder.file(name), "ours")
    (tmp_path / "a.png").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.require_room(["a.png"]), "a.png: is in the way")
        assert_one_line(lambda: folder.claim(["b.png", "a.png"]), "a.png: is in the way")
        folder.remove(["a.png"])
    assert (tmp_path / "a.png").read_text() == "mine" and own_files(tmp_path) == {"b.png"}
    with GrowingFolder(tmp_path, overwrite=True) as folder:
        assert folder.still_own(["a.png", "b.png", "c.png"]) == {"b.png"}
        write_complete(folder.file("a.png"), "new")
    with GrowingFolder(tmp_path) as folder:
        write_complete(folder.file("a.png"), "newer")


def test_what_was_claimed_and_stays_as_it_was_is_proven_as_before(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        write_complete(folder.file("a.png"), "ours")
    before = (tmp_path / MARKER).read_bytes()
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png"])
    assert (tmp_path / MARKER).read_bytes() == before


def test_a_killed_run_is_taken_up_and_notes_what_it_finds(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with GrowingFolder(tmp_path) as folder:
            write_complete(folder.file("a.png"), "ours")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png"])
    (tmp_path / "a.png").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.claim(["a.png"]), "a.png: is in the way")


def killed_after(out: Path, *files: tuple[str, str]) -> None:
    """Write files into a folder, given by name and text, in a process that is then killed."""
    child = os.fork()
    if not child:
        with GrowingFolder(out) as folder:
            for name, text in files:
                write_complete(folder.file(name), text)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_of_a_killed_run_nothing_may_be_replaced_that_holds_something_else(tmp_path: Path) -> None:
    killed_after(tmp_path, ("a.png", "ours"), ("b.png", "ours"), ("sub/c.png", "ours"))
    with GrowingFolder(tmp_path) as folder:
        assert folder.still_own(["a.png", "b.png", "sub/c.png"]) == {"a.png", "b.png", "sub/c.png"}
    for name in ("b.png", "sub/c.png"):
        (tmp_path / name).write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert folder.still_own(["a.png", "b.png", "sub/c.png"]) == {"a.png"}
        for name in ("b.png", "sub/c.png"):
            assert_one_line(lambda name=name: folder.claim([name]), f"{name}: is in the way")
        folder.claim(["a.png"])
    assert not (tmp_path / NOTES).exists() and own_files(tmp_path) == {"a.png", "b.png", "sub/c.png"}


def test_of_names_that_a_killed_run_only_claimed_nothing_is_replaced(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with GrowingFolder(tmp_path) as folder:
            folder.claim(["table.md", "log.jsonl", "old.jsonl"], journals=["log.jsonl", "old.jsonl"])
            write_complete(tmp_path / "old.jsonl", "")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    for name in ("table.md", "log.jsonl", "old.jsonl"):
        (tmp_path / name).write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        for name in ("table.md", "log.jsonl"):
            assert_one_line(lambda name=name: folder.require_room([name]), f"{name}: is in the way")
            assert_one_line(lambda name=name: folder.claim([name]), f"{name}: is in the way")
        folder.claim(["old.jsonl"], journals=["old.jsonl"])  # it was begun, and grew since
    assert (tmp_path / "table.md").read_text() == "mine"


def test_what_several_killed_runs_wrote_is_known(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        killed_after(tmp_path, (name, "ours"))
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png", "b.png", "c.png"])


def test_what_somebody_puts_under_a_claimed_name_while_the_run_goes_on_is_theirs(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        folder.claim(["a.png", "b.png"])
        write_complete(tmp_path / "a.png", "ours")
        (tmp_path / "b.png").write_text("mine")
    assert own_files(tmp_path) == {"a.png"}


@pytest.mark.parametrize("content", ["mine", ""])
def test_a_list_of_notes_of_others_is_kept(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(content)
    os.link(tmp_path / "mine", tmp_path / NOTES)
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.file("a.png"), f"{NOTES}: is in the way")
        write_complete(tmp_path / "b.png", "somebody's")
    assert (tmp_path / "mine").read_text() == content and own_files(tmp_path) == set()


def test_a_file_that_a_killed_run_had_written_again_is_its_own(tmp_path: Path) -> None:
    killed_after(tmp_path, ("a.png", "ours"), ("b.png", "ours"), ("a.png", "ours again"))
    with GrowingFolder(tmp_path) as folder:
        write_complete(folder.file("a.png"), "newer")
    assert (tmp_path / "a.png").read_text() == "newer"


def test_what_somebody_put_there_while_the_run_went_on_is_theirs(tmp_path: Path) -> None:
    with GrowingFolder(tmp_path) as folder:
        for name in ("a.png", "b.png"):
            write_complete(folder.file(name), "ours")
        (tmp_path / "a.png").write_text("mine")
    with GrowingFolder(tmp_path) as folder:
        assert_one_line(lambda: folder.claim(["a.png"]), "a.png: is in the way")
