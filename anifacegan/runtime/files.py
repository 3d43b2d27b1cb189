"""Files and folders that are written completely or not at all; checksums and Markdown tables.

A file is written under a temporary name in its own folder, flushed to the disk, and renamed. A folder of results is
first written into a temporary folder inside it; at the end, the files there replace those of the same name.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from anifacegan.runtime.errors import InputError


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` when the block ends without an error.

    The temporary file is ``.NAME.PID.tmp`` in the folder of ``path``, which has to exist. When the block fails or is
    interrupted, the temporary file is removed and ``path`` stays as it was; a killed process leaves the temporary file
    behind.

    Raises:
        InputError: the file cannot be written: the disk is full, or the folder is missing or not writable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise not_writable_error(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_complete(path: Path, content: bytes | memoryview | str) -> None:
    """Write a whole file, text as UTF-8; see :func:`complete_or_absent`."""
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove temporary files of :func:`complete_or_absent` that killed processes have left in a folder.

    ``names`` is a regular expression for the whole name of the final files. No other process may be writing to the
    folder.
    """
    leftover = re.compile(rf"\.({names})\.\d+\.tmp")
    for path in folder.glob(".*.tmp"):
        if leftover.fullmatch(path.name) and path.is_file():
            path.unlink()


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk. If a file were renamed earlier, a power cut could leave it empty."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def not_writable_error(path: Path, error: OSError) -> InputError:
    """Return the InputError for a file or folder that the operating system does not let us write."""
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def numeric_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return the sort key of a file's name by which 2 comes before 10, with or without zeros in front."""
    texts, digits = re.split("[0-9]+", name), re.findall("[0-9]+", name)
    numbers = [(len(number.lstrip("0")), number.lstrip("0")) for number in digits]
    parts: list[str | tuple[int, str]] = [*texts, *numbers]
    parts[::2], parts[1::2] = (
        texts,
        numbers,
    )  # texts and numbers take turns, so only like is compared with like
    return parts, name


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of the given bytes, one after another, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


MANIFEST = "manifest.json"
"""Name of the file that lists what a run wrote into a folder: its key ``files`` holds paths relative to the folder."""
_UNFINISHED = re.compile(r"unfinished-\d+-\w{8}")


@contextmanager
def filled_when_complete(out: Path) -> Iterator[Path]:
    """Yield a temporary folder, whose files move into ``out`` when the block ends without an error, the manifest last.

    The temporary folder is ``out/unfinished-PID-RANDOM``. When the block fails or is interrupted, it is removed, and
    ``out`` is as it was before; a killed process leaves it behind. A file in ``out`` is replaced only by a file of the
    same name; all other files stay, also those of an earlier run.

    Raises:
        InputError: ``out`` cannot be written, or has a folder where a file should go, or the reverse.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder to write into")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    temporary = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"unfinished-{os.getpid()}-", dir=out))
        yield temporary
        _publish(temporary, out)
    except OSError as error:
        raise not_writable_error(out, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:  # innermost first; one with files stays
            try:
                folder.rmdir()
            except OSError:
                break


def remove_unfinished(out: Path, names: tuple[str, ...]) -> None:
    """Remove temporary folders of :func:`filled_when_complete` that killed processes have left in ``out``.

    Only files with the given names are deleted; a folder that holds other files stays. No other process may be writing
    to ``out``.
    """
    for folder in out.glob("unfinished-*"):
        if _UNFINISHED.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            for name in names:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()


def _publish(temporary: Path, out: Path) -> None:
    paths = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path == Path(MANIFEST))  # stable: the manifest comes last
    for path in paths:
        if (out / path).is_dir():
            raise InputError(f"{out / path}: is a folder, expected room for a file")
        for parent in path.parents:
            if (out / parent).exists() and not (out / parent).is_dir():
                raise InputError(f"{out / parent}: is a file, expected a folder")
    for path in paths:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        flush(temporary / path)
        os.replace(temporary / path, out / path)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False) -> str:
    """Format a Markdown table, without a line feed at its end; ``aligned`` pads the cells to equal widths."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    cells = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    formatted = [f"| {' | '.join(line)} |" for line in cells]
    rule = "|".join("-" * (width + 2 if aligned else 3) for width in widths)
    return "\n".join([formatted[0], f"|{rule}|", *formatted[1:]])
