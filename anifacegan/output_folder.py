"""A folder of results that is complete or untouched; results as Markdown tables."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from anifacegan.atomic_files import cannot_be_written, flush
from anifacegan.errors import InputError

MANIFEST = "manifest.json"
"""Says what a run wrote; its ``files`` are the paths, relative to the folder, of everything else."""
_UNFINISHED = re.compile(r"unfinished-\d+-\w{8}")


@contextmanager
def filled_when_complete(out: Path) -> Iterator[Path]:
    """A folder to write into, whose files go into ``out`` when the block ends, the manifest last.

    It is a new folder ``out/unfinished-PID-RANDOM``. When the block fails or is interrupted, it goes, and ``out`` is as
    it was before; a killed process leaves it behind. Files in ``out`` are replaced where the block wrote one of the
    same name; all others stay, those of an earlier run as well.

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
        raise cannot_be_written(out, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:                                            # innermost first; one with files stays
            try:
                folder.rmdir()
            except OSError:
                break


def remove_unfinished(out: Path, names: tuple[str, ...]) -> None:
    """Remove what a killed process left of :func:`filled_when_complete`, where it wrote these names; no other process
    may be at work there.
    """
    for folder in out.glob("unfinished-*"):
        if _UNFINISHED.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            for name in names:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):                                    # something else is in it
                folder.rmdir()


def _publish(temporary: Path, out: Path) -> None:
    paths = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path == Path(MANIFEST))                # stable: the manifest comes last
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
    """A Markdown table without a line feed at its end; ``aligned`` also lines up in a terminal."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    cells = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    shown = [f"| {' | '.join(line)} |" for line in cells]
    rule = "|".join("-" * (width + 2 if aligned else 3) for width in widths)
    return "\n".join([shown[0], f"|{rule}|", *shown[1:]])
