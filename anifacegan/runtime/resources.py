"""TODO docstring of anifacegan.runtime.resources."""

from pathlib import Path


def located(path: Path, home: Path | None) -> Path:
    """The path as it is, or under ``home`` where only that exists."""
    if home is None or path.is_absolute() or path.exists() or not (home / path).exists():
        return path
    return home / path
