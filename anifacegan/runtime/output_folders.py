"""The one writer of folders of results, which knows what is ours in them.

A folder holds ``.anifacegan.json``, which lists the files that this program wrote there, and notes what they hold. A
run replaces files that still hold this, and no others: where another file is in the way, it is refused unless the user
asks for ``--overwrite``. Nothing else is ever removed. A file that is listed without such a note is taken for ours: the
list is of an earlier version, or the file grows. What a run writes file by file, it notes before, so that this is known
if it is killed. A folder of results is first written into a temporary folder inside it; at the end, the files there
replace those of the same name.
"""

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import (
    content_note,
    encoded,
    flush,
    not_writable_error,
    put_in_place,
    remove_abandoned,
    remove_leftovers,
    runs_here,
    sha256,
    size_and_digest,
    write_complete,
)
from anifacegan.runtime.interrupts import interrupts_put_off
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.paths import exists, require_writable_folder
from anifacegan.runtime.structured_text import read_json
from anifacegan.runtime.written_notes import MARKER, read_notes

MANIFEST = "manifest.json"
"""Name of the file that lists what a run wrote into a folder: its key ``files`` holds paths relative to the folder."""
_PROGRAM = "anifacegan"
_UNFINISHED = "unfinished-"
Noted = list[str] | None
"""What a file of ours may hold, as :func:`content_note` says it: one content, or several while one replaces the other;
nothing before it is written, so that whatever has its name by then is another's. None: anything."""
GROWS = "grows"
"""In the place of such contents: nothing before the file is written, anything from then on."""


def own_files(out: Path) -> set[str]:
    """Return the relative names of the files in a folder that this program wrote; empty if the folder does not tell.

    What has their names may be another's by now, see :func:`still_own`. A list with a name outside the folder is
    nobody's.
    """
    return set(noted_files(out))


def noted_files(out: Path) -> dict[str, Noted]:
    """Return the names of :func:`own_files`, each with what the file held when this program had written it; what a run
    that goes on, or was killed, has noted of it is among that."""
    noted = _listed(out)
    for name, note in read_notes(out) if noted else ():
        found = noted.get(name)
        if found is not None and note not in found:
            noted[name] = None if GROWS in found else [*found, note]
    return noted


def _listed(out: Path) -> dict[str, Noted]:
    """Return what the marker of a folder lists."""
    marker = _marker(out)
    names, contents = marker.get("files"), marker.get("contents", {})
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_inside(name) for name in names):
        return {}
    if not isinstance(contents, dict):
        return {}
    return {name: _list_of_texts(contents[name]) if name in contents else None for name in names}


def still_own(out: Path, names: Iterable[str]) -> set[str]:
    """Return those of the named files in a folder that this program wrote and nobody has changed or replaced since; one
    that is gone is among them."""
    noted = noted_files(out)
    return {name for name in names if name in noted and _holds(out / name, noted[name])}


def _list_of_texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _contents(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Return what the named files in a folder hold; of those that cannot be read, nothing."""
    found = {name: content_note(folder / name) for name in names}
    return {name: [note] for name, note in found.items() if note is not None}


def _holds(path: Path, noted: Noted) -> bool:
    return noted is None or not os.path.lexists(path) or content_note(path) in noted


def require_room(
    out: Path, names: Iterable[str], overwrite: bool | None = None, own: set[str] | None = None
) -> None:
    """Require that files may be written into a folder: nothing is in their way, or what this program wrote.

    ``names`` are relative to the folder, with slashes; with ``overwrite``, files of others may be replaced, too. None
    is False of a command without that option, which the message then does not offer. ``own`` are those of
    :func:`still_own`, if they are known.

    Raises:
        InputError: the folder is a file or cannot be written, a file is where a folder should go, or the reverse, or a
            file of others is in the way.
    """
    require_writable_folder(out)
    noted = noted_files(out) if own is None else dict.fromkeys(own)
    for name in names:
        path = out / name
        there = exists(path)  # first: it refuses a name that is too long
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected room for a file")
        for parent in PurePosixPath(name).parents[:-1]:
            if (out / parent).is_symlink() or (exists(out / parent) and not (out / parent).is_dir()):
                raise InputError(f"{out / parent}: is a file or link, expected a folder")
        if not overwrite and (path.is_symlink() or there):
            if name not in noted or not _holds(path, noted[name]):
                raise _in_the_way_error(path, overwrite, changed=name in noted)
    marker = out / MARKER
    if not overwrite and (marker.is_symlink() or exists(marker)) and not _marker(out):
        raise _in_the_way_error(marker, overwrite)


def require_unread(out: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Require that none of the files that are written into a folder is one that the run reads, also through links.

    ``names`` are relative to the folder, with slashes.

    Raises:
        InputError: one is.
    """
    read = {os.path.realpath(path) for path in inputs}
    for name in names:
        if exists(out / name) and os.path.realpath(out / name) in read:
            raise InputError(f"{out / name}: is read and would be replaced, expected another --out")


def _in_the_way_error(path: Path, overwrite: bool | None, changed: bool = False) -> InputError:
    """Return the InputError for a file of others, or one that is ``changed`` since this program wrote it."""
    as_it_is = " as it is now" if changed else ""
    offered = "or that file moved away" if overwrite is None else "or --overwrite true"
    return InputError(
        f"{path}: is in the way and was not written by {_PROGRAM}{as_it_is}, expected another --out, {offered}"
    )


def claim(out: Path, names: Iterable[str], overwrite: bool | None = None) -> None:
    """Make a folder if there is none, and note that the named files in it are about to be this program's, who may
    replace what it wrote there before; what they hold is noted later, see :func:`note_contents`.

    Raises:
        InputError: see :func:`require_room`; or the folder cannot be written.
    """
    names = list(names)
    require_room(out, names, overwrite)
    noted = noted_files(out)
    note_claims(out, {name: [] for name in names if name not in noted})


def note_claims(out: Path, claims: Mapping[str, Noted]) -> None:
    """Make a folder if there is none, and note that files in it are this program's, by their names, and what they hold.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable_error(out, error) from None
    remove_abandoned(out / MARKER)
    noted = {**noted_files(out), **claims}
    if noted != _listed(out):
        write_complete(out / MARKER, _marker_text(noted))


def note_contents(out: Path, names: Iterable[str]) -> None:
    """Note what the named files in a folder hold, which this program has written: what replaces them is another's."""
    note_claims(out, _contents(out, own_files(out).intersection(names)))


def write_noted(out: Path, name: str, content: bytes | memoryview | str) -> None:
    """Write a whole file into a folder that exists, whatever is there, and note that it is this program's and what it
    holds. That is noted first: if the process is killed in between, what was there before is still known as well.

    Raises:
        InputError: the folder cannot be written, or the disk is full; the file is unchanged.
    """
    content = encoded(content) if isinstance(content, str) else content
    before = _contents(out, still_own(out, [name]))
    new = size_and_digest(len(content), sha256([content]))
    note_claims(out, {name: list(dict.fromkeys([new, *before.get(name, [])]))})
    write_complete(out / name, content)


def withdraw_claim(out: Path, names: Iterable[str]) -> None:
    """Note that the named files in a folder, which this program has not written after all, are not this program's."""
    noted, names = noted_files(out), set(names)
    if kept := {name: note for name, note in noted.items() if name not in names}:
        write_complete(out / MARKER, _marker_text(kept))
    else:
        (out / MARKER).unlink(missing_ok=True)


@contextmanager
def filled_when_complete(
    out: Path, overwrite: bool | None = None, last: str = MANIFEST, whole: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder, whose files move into ``out`` when the block ends without an error, ``last`` last.

    The temporary folder is ``out/unfinished-PID-RANDOM``. When the block fails or is interrupted, it is removed, and
    ``out`` is as it was before; a killed process leaves it behind. Ctrl-C, SIGTERM and SIGHUP wait while files move, so
    ``out`` gets all of them or none; SIGKILL may leave a part. A file in ``out`` is replaced only by a file of the
    same name, and only if this program wrote it or ``overwrite`` is set; all other files stay. Those of an earlier run
    that would be taken for the new one's are counted on standard error: where ``whole``, what a run writes belongs
    together, so these are all; otherwise, those that continue its numbered series. ``out`` is locked within the block:
    one process at a time fills it.

    Raises:
        InputError: ``out`` cannot be written, another process writes there, it has a folder where a file should go, or
            the reverse, or has a file of others in the way.
    """
    require_room(out, [], overwrite)
    made = [folder for folder in (out, *out.parents) if not exists(folder)]
    temporary, lock = None, FolderLock(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.take()
        temporary = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=out))
        process = {"program": _PROGRAM, "host": socket.gethostname(), "pid": os.getpid()}
        (temporary / MARKER).write_text(json.dumps(process))
        yield temporary
        _publish(temporary, out, overwrite, last, whole)
    except OSError as error:
        raise not_writable_error(out, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        lock.release()
        for folder in made:  # innermost first; one with files stays
            try:
                folder.rmdir()
            except OSError:
                break


def remove_unfinished(out: Path, names: Iterable[str]) -> None:
    """Remove temporary folders of :func:`filled_when_complete` that killed processes of this machine left in ``out``.

    Only files with the given names, relative to the folder, are deleted; a folder that holds other files stays.
    """
    left = [
        folder
        for folder in out.glob(f"{_UNFINISHED}*")
        if not folder.is_symlink() and folder.is_dir() and _is_left_behind(_marker(folder))
    ]
    names = list(names)
    for folder in left:
        emptied = set()
        for name in (*names, MARKER):
            parents = [folder / parent for parent in PurePosixPath(name).parents[:-1]]
            if not any(parent.is_symlink() for parent in parents):
                with suppress(OSError):  # it is not there, or a folder
                    (folder / name).unlink()
                emptied.update(parents)
        finals = {PurePosixPath(name).name for name in names}
        for parent in (*sorted(emptied, reverse=True), folder):
            with suppress(OSError):  # something else is in it
                remove_leftovers(parent, finals)
                parent.rmdir()


def _is_left_behind(marker: dict[str, Any]) -> bool:
    pid = marker.get("pid")
    is_ours = marker.get("program") == _PROGRAM and marker.get("host") == socket.gethostname()
    return is_ours and isinstance(pid, int) and pid > 0 and not runs_here(pid)


def _marker(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's marker; empty if it has none of ours."""
    try:
        content = read_json(folder / MARKER, "a list of files")
    except InputError:
        return {}
    return content if isinstance(content, dict) and content.get("program") == _PROGRAM else {}


def _marker_text(noted: dict[str, Noted]) -> str:
    contents = {name: noted[name] for name in sorted(noted) if noted[name] is not None}
    return json.dumps({"program": _PROGRAM, "files": sorted(noted), "contents": contents}, indent=1) + "\n"


def _is_inside(name: str) -> bool:
    """Return whether a name, with slashes, is that of something in its folder; without PurePosixPath, which takes most
    of the time that a list of thousands of names needs, and every claim reads it."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


def _publish(temporary: Path, out: Path, overwrite: bool | None, last: str, whole: bool) -> None:
    found = (path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    paths = sorted(path for path in found if path != Path(MARKER))  # that goes last, with the folder
    paths.sort(key=lambda path: path == Path(last))  # stable
    names = [path.as_posix() for path in paths]
    earlier, own = own_files(out), still_own(out, names)
    older = sorted(earlier.difference(names)) if whole else numbered_beside(earlier, names)
    require_room(out, names, overwrite, own)
    new, either = _contents(temporary, names), _contents(out, own)
    for name, contents in new.items():
        either[name] = sorted({*contents, *either.get(name, [])})
    for path in paths:
        flush(temporary / path)  # what takes long: then the move is short
    with interrupts_put_off():
        note_claims(out, either)  # whichever is there if this process is killed
        remove_unfinished(out, names)
        for path in paths:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            put_in_place(temporary / path, out / path)
        note_claims(out, new)
        if older := [name for name in older if (out / name).is_file()]:
            say(f"{out}: beside the new files, {len(older)} of an earlier run stay, the first is {older[0]}")


def numbered_beside(earlier: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return which earlier files continue a numbered series of new ones in the same subfolder, such as frame_010.png
    beside frame_000.png to frame_009.png; names are relative to the folder of results."""

    def series(name: str) -> tuple[PurePosixPath, str]:
        path = PurePosixPath(name)
        return path.parent, re.sub(r"[0-9]+(?=\.[^.]*$)", "#", path.name)

    new = set(new)
    growing = {(parent, name) for parent, name in map(series, new) if "#" in name and parent.parts}
    return sorted(name for name in set(earlier) - new if series(name) in growing)
