"""One writer for a folder or a file: a lock file with the host and the process that hold it.

The operating system frees the lock when its process ends, however it ends. The file of a killed process stays; the next
one takes it over, and says so. A file of that name which holds anything else is somebody's, and stays as it is.
"""

import errno
import json
import os
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import name_start, not_writable_error

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]

LOCK = ".anifacegan.lock"
"""Name of the lock file in a folder; that of a file NAME is .NAME.anifacegan.lock, beside it."""
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}
"""Errors of file systems that have no locks."""
_KINDS, _MOST_BYTES = {"host": str, "pid": int}, 4096
"""Names and types of what a lock file holds; number of bytes of it that are read, more than a lock has."""
_BEGINNING = b'{"host": "'
"""How the content of a lock file begins."""
_RETRY_S = 0.05
"""Time between two attempts to take a lock for which one waits, seconds."""


class WriterLock:
    """The lock of what is written, held from :meth:`take` until :meth:`release`, or within a ``with`` block.

    Args:
        path: the lock file, in a folder that exists.
        target: the folder or file that is written, for messages.
        patience_s: time to wait for the end of another process that holds the lock, seconds.
    """

    def __init__(self, path: Path, target: Path, patience_s: float = 0.0) -> None:
        self.path, self._target, self._patience_s = path, target, patience_s
        self._file: Any = None

    def __enter__(self) -> "WriterLock":
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lock. On a file system without locks, say so, and go on without one.

        Raises:
            InputError: another process holds it, the file is no lock of this program, or it cannot be written.
        """
        if fcntl is None:
            return
        file, held, is_ours, started = None, False, False, time.monotonic()
        try:
            while True:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
                file = os.fdopen(
                    descriptor, "r+b", buffering=0
                )  # nothing that a full disk refused comes later
                if not self._is_locked(file, started):
                    continue
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                        held = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                        break
                file.close()  # its holder has ended in between, and removed it
            before, is_ours = self._earlier_holder(file), True
            if before:
                say(f"{self.path}: taken over from {before}, which has ended")
            file.seek(0)
            file.truncate()
            content = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if file is not None:
                with suppress(OSError):
                    if is_ours:  # the disk is full: it may be half-written
                        os.ftruncate(file.fileno(), 0)
                    if is_ours or error.errno in _NO_LOCKS:
                        self._remove(file)
                with suppress(OSError):
                    file.close()
            if not held and error.errno in _NO_LOCKS:
                say(f"{self.path}: no locks here, only one process may write")
                return
            raise not_writable_error(self.path, error) from None
        self._file = file

    def _earlier_holder(self, file: Any) -> str:
        """Return who has written a lock file that is ours by now, in words; an empty text for an empty file.

        Raises:
            InputError: it holds something else, or has further names, under which its content would be lost.
        """
        before = _holder(file)
        if before is None or os.fstat(file.fileno()).st_nlink > 1:
            file.close()
            raise InputError(
                f"{self.path}: is in the way and no lock of ours, expected another --out, or that file moved away"
            )
        return before

    def _remove(self, file: Any) -> None:
        """Remove the lock file unless something else has its name, or it holds what is not ours."""
        with suppress(OSError):
            found = os.fstat(file.fileno())
            is_ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _holder(file) is not None
            if is_ours and os.path.samestat(found, os.lstat(self.path)):
                self.path.unlink()

    def _is_locked(self, file: Any, started: float) -> bool:
        """Lock a file; where another process holds it, close it, and wait a little if there is time."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            holder = _holder(file) or "another process"
            file.close()
        if time.monotonic() - started >= self._patience_s:
            raise InputError(
                f"{self._target}: {holder} is writing here, expected its end, or another --out"
            ) from None
        time.sleep(_RETRY_S)
        return False

    def release(self) -> None:
        """Release the lock and remove its file; does nothing if it is not held. What has taken its place stays."""
        if self._file is not None:
            self._remove(self._file)
            self._file.close()
            self._file = None


class FolderLock(WriterLock):
    """The lock of a folder, which exists."""

    def __init__(self, folder: Path, patience_s: float = 0.0) -> None:
        super().__init__(folder / LOCK, folder, patience_s)


class FileLock(WriterLock):
    """The lock of a file, which may not exist yet; its folder does."""

    def __init__(self, file: Path) -> None:
        super().__init__(file.with_name(f".{name_start(file.name)}{LOCK}"), file)


def _holder(file: Any) -> str | None:
    """Return who has written a lock file, in words; an empty text for an empty file, None for one that is no lock.

    A power cut may have left zeros, or the beginning of a lock.
    """
    file.seek(0)
    content = file.read(_MOST_BYTES)
    if not content.strip(b"\0"):
        return ""
    try:
        about = json.loads(content) if len(content) < _MOST_BYTES else None
    except (ValueError, RecursionError):
        torn = content.startswith(_BEGINNING) or _BEGINNING.startswith(content)
        return "an unknown process" if torn else None
    if not isinstance(about, dict) or {key: type(value) for key, value in about.items()} != _KINDS:
        return None
    return f"process {about['pid']} on {about['host']}"
