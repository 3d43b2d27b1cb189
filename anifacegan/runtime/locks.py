"""One writer for a folder: a lock file with the host and the process that hold it.

The operating system frees the lock when its process ends, however it ends. The file of a killed process stays; the next
one takes it over, and says so.
"""

import json
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import InputError, one_line
from anifacegan.runtime.files import not_writable_error

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]

LOCK = ".anifacegan.lock"
"""Name of the lock file in a folder."""


class FolderLock:
    """The lock of a folder, held from :meth:`take` until :meth:`release`, or within a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._file: Any = None

    def __enter__(self) -> "FolderLock":
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lock; the folder has to exist.

        Raises:
            InputError: another process holds it, or the file cannot be written.
        """
        if fcntl is None:
            return
        file, held = None, False
        try:
            while True:
                file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
                self._lock(file)
                if self.path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                    held = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                    break
                file.close()  # its holder has ended in between, and removed it
            before = _holder(file.read(1000))
            if before:
                print(one_line(f"{self.path}: taken over from {before}, which has ended"), file=sys.stderr)
            file.seek(0)
            file.truncate()
            file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
            file.flush()
        except OSError as error:
            if held:  # the disk is full
                self.path.unlink(missing_ok=True)
            if file is not None:
                with suppress(OSError):
                    file.close()
            raise not_writable_error(self.path, error) from None
        self._file = file

    def _lock(self, file: Any) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file.read(1000)) or "another process"
            file.close()
            raise InputError(
                f"{self.path.parent}: {holder} is writing here, expected its end, or another --out"
            ) from None

    def release(self) -> None:
        """Release the lock and remove its file; does nothing if it is not held."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def _holder(content: bytes) -> str:
    """Return who has written a lock file, in words; an empty text for an empty file."""
    try:
        about = json.loads(content)
        return f"process {about['pid']} on {about['host']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "an unknown process" if content else ""
