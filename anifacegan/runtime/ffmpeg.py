"""ffmpeg, which imageio-ffmpeg brings along: its command, names of files in it, and what it says about them."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from anifacegan.runtime.errors import InputError

PROGRAM_VARIABLE = "IMAGEIO_FFMPEG_EXE"
"""Environment variable of imageio-ffmpeg, which names another ffmpeg than its own."""
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
_STREAM = re.compile(r"  Stream #0:\d+\S*: (Video|Audio): (.*)")
"""What ffmpeg says about a stream; lines of texts in the file begin otherwise."""
_SIZE = re.compile(r", (\d+)x(\d+)\b")
_ASPECT = re.compile(r"\bSAR (\d+):(\d+)")
_COVER = "(attached pic)"


@dataclass(frozen=True)
class Streams:
    """What a film's file announces."""

    has_picture: bool
    """Whether it has a moving picture; the cover of a piece of music is none."""
    has_sound: bool
    """Whether it has sound."""
    pixels: int
    """Number of pixels of a frame of square pixels; 0 if nothing is said about it."""


def read_streams(path: Path) -> Streams:
    """Read what a film's file announces; nothing of a file that is no film."""
    command = [_program(), "-hide_banner", "-nostdin", *film_input(path)]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).stderr.decode(
        errors="replace"
    )
    streams = [found.groups() for found in map(_STREAM.match, said.splitlines()) if found is not None]
    pictures = [about for kind, about in streams if kind == "Video" and _COVER not in about]
    size = _SIZE.search(pictures[0]) if pictures else None
    pixels = 0 if size is None else int(size[1]) * int(size[2])
    aspects = _ASPECT.findall(pictures[0]) if pictures else []
    if aspects:  # the last one is that of the file, which overrules its stream's
        across, down = map(int, aspects[-1])
        pixels = round(pixels * max(across, down) / max(1, min(across, down)))
    return Streams(bool(pictures), any(kind == "Audio" for kind, _ in streams), pixels)


def film_input(path: Path) -> list[str]:
    """Return the words by which ffmpeg reads a file, whatever is in its name; a file that is a playlist fetches nothing
    from a network."""
    return ["-protocol_whitelist", "file,pipe", "-i", file_name(path)]


def file_name(path: Path) -> str:
    """Return a path as ffmpeg takes it for a file, whatever is in its name."""
    return f"file:{path}"


def ffmpeg_command(*words: str) -> list[str]:
    """Return a command of ffmpeg that asks nothing and says errors only."""
    return [_program(), "-v", "error", "-nostdin", *words]


def _program() -> str:
    """Return the path of ffmpeg: imageio-ffmpeg's own, or what its environment variable names.

    Raises:
        InputError: the variable names no program.
    """
    program = os.environ.get(PROGRAM_VARIABLE)
    if program and shutil.which(program) is None:
        raise InputError(
            f"{PROGRAM_VARIABLE} is {program!r}, where no program is, expected the path of ffmpeg, or no such variable"
        )
    return imageio_ffmpeg.get_ffmpeg_exe()


def input_error(said: str) -> str | None:
    """Return the first error that ffmpeg found in what it read, at most 120 characters; None if it found none.

    ``said`` is its standard error, with errors only.
    """
    for line in said.splitlines():
        text = _LABEL.sub("", line).strip()
        if text and not line.startswith(_OF_THE_OUTPUT) and not text.startswith(_HARMLESS):
            return text[:120]
    return None
