"""Films as users have them: frames and the times at which they are shown, read with imageio's ffmpeg.

Frames are those of the first video stream, upright as the file asks for, none dropped and none repeated, whatever the
film's frame rate and whether it varies.
"""

import logging
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, Int

from anifacegan.capture.crop import Photograph
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import HEAD_BYTES, require_kind

FILM_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".gif")
"""Endings of the films that are read, in lower case; upper case is read as well."""
_EVERY_FRAME = ["-map", "0:v:0", "-fps_mode", "passthrough"]
_MICROSECONDS = ["-enc_time_base", "1:1000000"]
_LOCAL = ["-protocol_whitelist", "file,pipe"]
"""Option of ffmpeg by which a film that is a playlist fetches nothing from a network."""
_TEXT = {*range(32, 127), *b"\t\r\n"}
"""Bytes of plain text, which no film begins with: ffmpeg would follow a playlist to other files."""
_TINY = ["-vf", "scale=16:16:flags=fast_bilinear"]
"""Options of ffmpeg by which times are listed: their unit, and frames that cost little to check."""


def is_film(path: Path) -> bool:
    """Return whether a file is a film that can be read, by the ending of its name."""
    return path.suffix.lower() in FILM_SUFFIXES


class NoFaceError(InputError):
    """A film without a face: there is nothing to go on with."""


@dataclass(frozen=True)
class Film:
    """A film's file with the times of its frames."""

    path: Path
    """The file."""
    times: Float[np.ndarray, " frame"]
    """Time of each frame from the first one, seconds, strictly rising."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def frames_per_second(self) -> float:
        """Mean number of frames a second."""
        return (len(self) - 1) / float(self.times[-1]) if len(self) > 1 else 25.0

    @property
    def milliseconds(self) -> Int[np.ndarray, " frame"]:
        """Times as whole milliseconds that rise strictly, which MediaPipe needs."""
        steps = np.arange(len(self))
        return np.maximum.accumulate(np.rint(1000 * self.times).astype(np.int64) - steps) + steps

    def frames(self) -> Iterator[Photograph]:
        """Yield the frames in the order of their times, as many as there are times.

        Raises:
            InputError: the file cannot be decoded to its end.
        """
        logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns of turned films
        reader: Any = imageio_ffmpeg.read_frames(
            _as_input(self.path), input_params=_LOCAL, output_params=_EVERY_FRAME
        )
        with closing(reader):
            try:
                width, height = next(reader)["size"]
                for _ in range(len(self)):
                    yield np.frombuffer(next(reader), np.uint8).reshape(height, width, 3)
            except (OSError, RuntimeError, StopIteration) as error:
                raise InputError(f"{self.path}: cannot be read to its end ({first_line(error)})") from None


def _as_input(path: Path) -> str:
    """Return a path as ffmpeg takes it for a file, whatever is in its name."""
    return f"file:{path}"


def open_film(path: Path) -> Film:
    """List the times of a film's frames.

    Raises:
        InputError: the file is missing or is no film, or has no frames.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a film")
    require_kind(path, "a film")
    with path.open("rb") as file:
        if not set(file.read(HEAD_BYTES)) - _TEXT:
            raise InputError(f"{path}: is a text, perhaps a playlist, expected a film")
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *_LOCAL, "-i", _as_input(path)]
    listed = subprocess.run(
        [*program, *_EVERY_FRAME, *_MICROSECONDS, *_TINY, "-f", "framecrc", "-"],
        capture_output=True,
        text=True,
        errors="replace",
    )
    rows = [line.split(",") for line in listed.stdout.splitlines() if line and not line.startswith("#")]
    times = np.array([int(row[2]) for row in rows], np.float64) / 1e6
    if not len(times):
        reason = listed.stderr.strip().splitlines()
        raise InputError(f"{path}: no frames ({reason[-1][:120] if reason else 'empty'}), expected a film")
    times = np.maximum.accumulate(times - times[0])
    repeated = np.concatenate([[False], np.diff(times) <= 0])
    return Film(path, times + 1e-6 * np.cumsum(repeated))
