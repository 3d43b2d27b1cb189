"""ffmpeg, which imageio-ffmpeg brings along: its command, names of files in it, and what it says about them."""

import re
from pathlib import Path

import imageio_ffmpeg

_LABEL = re.compile(r"^(\[[^\]]*\] )+")
"""What a line of ffmpeg begins with: the part of it that speaks, and where in memory that is."""
_OF_THE_OUTPUT = ("[out#", "[vost#", "[framecrc")
_HARMLESS = (
    "Last message repeated",
    "non-existing PPS",
    "no frame!",
    "co located POCs unavailable",
    "mmco: unref short failure",
    "number of reference frames",
)
"""Errors of H.264 that cameras' files and films that were cut without encoding have, and whose pictures are whole."""


def film_input(path: Path) -> list[str]:
    """Return the words by which ffmpeg reads a file, whatever is in its name; a file that is a playlist fetches nothing
    from a network."""
    return ["-protocol_whitelist", "file,pipe", "-i", file_name(path)]


def file_name(path: Path) -> str:
    """Return a path as ffmpeg takes it for a file, whatever is in its name."""
    return f"file:{path}"


def ffmpeg_command(*words: str) -> list[str]:
    """Return a command of ffmpeg that asks nothing and says errors only."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *words]


def input_error(said: str) -> str | None:
    """Return the first error that ffmpeg found in what it read, at most 120 characters; None if it found none.

    ``said`` is its standard error, with errors only.
    """
    for line in said.splitlines():
        text = _LABEL.sub("", line).strip()
        if text and not line.startswith(_OF_THE_OUTPUT) and not text.startswith(_HARMLESS):
            return text[:120]
    return None
