"""A folder of results that is complete or untouched; results as Markdown tables."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anifacegan.atomic_files import cannot_be_written, flush
from anifacegan.errors import InputError

MANIFEST = "manifest.json"
"""Says what the folder holds; its ``files`` are the paths, relative to the folder, of everything else a run wrote."""


@contextmanager
def filled_when_complete(out: Path) -> Iterator[Path]:
    """A folder to write into, whose files go into ``out`` when the block ends, the manifest last.

    It is ``out/unfinished-PID``. When the block fails or is interrupted, it goes, and ``out`` is as it was before; a
    killed process leaves it behind. Files that an earlier run wrote, by its manifest, give way; other files stay.

    Raises:
        InputError: ``out`` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder to write into")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    temporary = out / f"unfinished-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _publish(temporary, out)
    except OSError as error:
        raise cannot_be_written(out, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:                                            # innermost first; one with files stays
            try:
                folder.rmdir()
            except OSError:
                break


def _publish(temporary: Path, out: Path) -> None:
    earlier = _listed(out / MANIFEST)
    paths = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path == Path(MANIFEST))                # stable: the manifest comes last
    for path in paths:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        flush(temporary / path)
        os.replace(temporary / path, out / path)
    for path in earlier - set(paths):
        (out / path).unlink(missing_ok=True)
        if path.parent != Path() and not any((out / path.parent).iterdir()):
            (out / path.parent).rmdir()


def _listed(manifest: Path) -> set[Path]:
    """Files that an earlier manifest names and that are there; nothing outside the folder."""
    try:
        files = json.loads(manifest.read_text())["files"]
        paths = {Path(name) for name in files}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    inside = manifest.parent.resolve()
    return {
        path
        for path in paths
        if (manifest.parent / path).is_file() and (manifest.parent / path).resolve().is_relative_to(inside)
    }


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False) -> str:
    """A Markdown table without a line feed at its end; ``aligned`` also lines up in a terminal."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    cells = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    shown = [f"| {' | '.join(line)} |" for line in cells]
    rule = "|".join("-" * (width + 2 if aligned else 3) for width in widths)
    return "\n".join([shown[0], f"|{rule}|", *shown[1:]])
