"""Folders of results that grow file by file, so that a run which was stopped goes on where it was."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import content_note, not_writable_error, remove_leftovers
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.output_folders import (
    GROWS,
    MARKER,
    Noted,
    note_claims,
    noted_files,
    own_files,
    require_room,
    require_unread,
    still_own,
    withdraw_claim,
)
from anifacegan.runtime.paths import exists
from anifacegan.runtime.written_notes import begin_notes, end_notes, read_notes


class GrowingFolder:
    """A folder that one process at a time fills, within a ``with`` block.

    The folder is locked from the beginning of the block, or from the moment in which the first file makes it. Files of
    others are replaced with ``overwrite`` only. What a claimed file is to hold is noted before it is put in place, see
    :mod:`.written_notes`, so that a file that somebody puts there after the process was killed is known as another's.
    At the end of the block, however it ends, the claimed files that were not written are this program's no longer; a
    run that fails before it has written a file leaves no trace.
    """

    def __init__(self, path: Path, overwrite: bool | None = None) -> None:
        self.path, self._overwrite = path, overwrite
        self._lock: FolderLock | None = None
        self._claimed: set[str] = set()
        self._found: dict[str, tuple[int, int] | None] = {}
        self._earlier: dict[str, Noted] = {}
        self._checked: dict[str, bool] = {}
        self._journals: set[str] = set()
        self._made: list[Path] = []
        self._began_notes = False

    def __enter__(self) -> "GrowingFolder":
        require_room(self.path, [], self._overwrite)
        if self.path.is_dir():
            self._take_lock()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            with suppress(OSError, InputError):  # the disk is full
                self._settle_claims()
                if self._began_notes:
                    end_notes(self.path)
            self._lock.release()
        for folder in reversed(self._made):
            with suppress(OSError):  # something is in it
                folder.rmdir()

    def require_room(self, names: Iterable[str], inputs: Iterable[Path] = ()) -> None:
        """Require that files may be written, whose names are relative to the folder, and that none is an input.

        Raises:
            InputError: a file of others, or one of the files that the run reads, is in the way.
        """
        names = list(names)
        require_room(self.path, names, self._overwrite, self.still_own(names))
        require_unread(self.path, names, inputs)

    def still_own(self, names: Iterable[str]) -> set[str]:
        """Return those of the named files that this program wrote and nobody had changed or replaced when the block
        began; each file is read once."""
        names = set(names)
        if new := names.difference(self._checked):
            own = still_own(self.path, new)
            self._checked |= {name: name in own for name in new}
        return {name for name in names if self._checked[name]}

    def let_replace(self, names: Iterable[str]) -> None:
        """Let files that this program has written be replaced, though they hold something else by now: the caller knows
        that they are damaged, and nobody else's."""
        noted = noted_files(self.path)
        listed = {name for name in names if name in noted and noted[name] not in ([], [GROWS])}
        self.still_own(listed)
        self._checked |= dict.fromkeys(listed, True)

    def claim(self, names: Iterable[str], journals: Iterable[str] = ()) -> None:
        """Make the folder, lock it, and note that the named files in it are this program's, with what it wrote there.
        What ``journals`` among them hold, once they are written, is not noted: runs add lines to these, and go on with
        as much of them as can be read.

        Raises:
            InputError: another process writes to the folder, a file of others is in the way, or the folder cannot be
                written.
        """
        names = [name for name in names if name not in self._claimed]
        if self._lock is None:
            require_room(self.path, names, self._overwrite)
            self._make(self.path)
            self._take_lock()
        if names:
            before, own = noted_files(self.path), self.still_own(names)
            require_room(self.path, names, self._overwrite, own)
            self._found |= {name: _version(self.path / name) for name in names}
            earlier = {name: before[name] for name in own if name in before}
            self._earlier |= earlier
            self._journals.update(journals)
            new: dict[str, Noted] = {name: [GROWS] if name in self._journals else [] for name in names}
            note_claims(self.path, {**new, **earlier})
            self._claimed.update(names)
            if not self._began_notes:
                begin_notes(self.path)  # those of a killed run are in the list of files by now
                self._began_notes = True
            finals = {MARKER, *(PurePosixPath(name).name for name in before)}
            for folder in {self.path, *((self.path / name).parent for name in names if name in before)}:
                remove_leftovers(folder, finals)

    def file(self, name: str) -> Path:
        """Return the path of a file that may be written now, by :func:`complete_or_absent`; its folder exists, and the
        file is claimed.

        Raises:
            InputError: see :meth:`claim`.
        """
        self.claim([name])
        path = self.path / name
        self._make(path.parent)
        return path

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that this program has written or may write, of this run or an earlier one, and their folders
        where nothing else is in them. They are this program's no longer: a later file of that name is another's, as is
        one that somebody has put there before.
        """
        own = {
            name
            for name in own_files(self.path).intersection(names)
            if not any((self.path / parent).is_symlink() for parent in PurePosixPath(name).parents[:-1])
        }
        for name in still_own(self.path, own):
            with suppress(OSError):  # it is not there, or a folder
                (self.path / name).unlink()
        for folder in sorted({(self.path / name).parent for name in own} - {self.path}, reverse=True):
            with suppress(OSError):  # something else is in it
                folder.rmdir()
        self._claimed -= own
        if own:
            withdraw_claim(self.path, own)

    def _settle_claims(self) -> None:
        """Note what this run wrote into the claimed files, and of the others what was known before. Those that were not
        written are not this program's: a later run would replace what somebody puts in their place. Half-written ones,
        of a worker that was killed, go."""
        written = dict(read_notes(self.path)) if self._began_notes else {}
        noted: dict[str, Noted] = {}
        for name in self._claimed:
            version = _version(self.path / name)
            if version is None:
                continue
            if name in written and version != self._found[name]:
                noted[name] = None if name in self._journals else [written[name]]
            elif name in self._earlier:
                noted[name] = self._earlier[name]
                listed = noted[name] is None and name not in self._journals
                if listed and (note := content_note(self.path / name)) is not None:
                    noted[name] = [note]
        if unwritten := self._claimed.difference(noted):
            finals = {PurePosixPath(name).name for name in unwritten}
            for folder in {(self.path / name).parent for name in unwritten}:
                remove_leftovers(folder, finals)
            withdraw_claim(self.path, unwritten)
        if noted:
            note_claims(self.path, noted)

    def _make(self, folder: Path) -> None:
        new = [path for path in (folder, *folder.parents) if not exists(path)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable_error(folder, error) from None
        self._made += reversed(new)

    def _take_lock(self) -> None:
        lock = FolderLock(self.path)
        lock.take()
        self._lock = lock


def _version(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place, its inode and time of modification; None if there is
    none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
