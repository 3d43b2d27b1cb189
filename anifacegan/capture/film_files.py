"""Films as users have them: frames and the times at which they are shown, read with imageio's ffmpeg.

Frames are those of the first video stream, upright and with square pixels as the file asks for, none dropped and none
repeated, whatever the film's frame rate and whether it varies; a GIF without times has 10 frames a second.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from jaxtyping import Float, Int

from anifacegan.capture.crop import Photograph
from anifacegan.capture.film_ends import missing_end
from anifacegan.capture.gif_files import film_source, missing_pictures
from anifacegan.face_model.config import MOST_FRAMES
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.ffmpeg import ffmpeg_command, input_error, read_streams
from anifacegan.runtime.file_kinds import HEAD_BYTES, require_kind
from anifacegan.runtime.image_files import MOST_PIXELS
from anifacegan.runtime.paths import user_path

FILM_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".gif")
"""Endings of the films that are read, in lower case; upper case is read as well."""
FASTEST_RATE = 60.0
"""Highest constant rate, frames per second, at which films of varying rate are shown."""
MOST_REPETITIONS = 10
"""Largest number of frames of a constant rate for each frame of a film that then has more than MOST_FRAMES."""
_EVERY_FRAME = ["-map", "0:V:0", "-fps_mode", "passthrough"]
_MICROSECONDS = ["-enc_time_base", "1:1000000"]
_SQUARE = ["-vf", "scale=w=round(iw*max(1\\,sar)):h=round(ih*max(1\\,1/sar)),setsar=1"]
"""Options of ffmpeg by which pixels that are not square are drawn out."""
_PIXELS = ["-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"]
"""Options of ffmpeg by which it writes every frame with its size."""
_TEXT = {*range(32, 127), *b"\t\r\n"}
"""Bytes of plain text, which no film begins with: ffmpeg would follow a playlist to other files."""
_TINY = ["-vf", "scale=16:16:flags=fast_bilinear"]
"""Options of ffmpeg by which times are listed: their unit, and frames that cost little to check."""


def is_film(path: Path) -> bool:
    """Return whether a file is a film that can be read, by the ending of its name."""
    return path.suffix.lower() in FILM_SUFFIXES


class NoFaceError(InputError):
    """A film without a face, or without the one that was asked for: there is nothing to go on with."""


@dataclass(frozen=True)
class Film:
    """A film's file with the times of its frames."""

    path: Path
    """The file."""
    times: Float[np.ndarray, " frame"]
    """Time of each frame from the first one, seconds, strictly rising."""
    start_s: float = 0.0
    """Time of the first frame from the file's start, at which its sound may begin, seconds."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def frames_per_second(self) -> float:
        """Mean number of frames a second."""
        return (len(self) - 1) / float(self.times[-1]) if len(self) > 1 else 25.0

    def at_constant_rate(self) -> tuple[float, Int[np.ndarray, " shown"]]:
        """Return a constant frame rate, and which frame is seen at the time of each frame of that rate.

        Where the times are those of the mean rate to half a frame, each frame is seen once. Otherwise the rate is that
        of the frames that follow each other fastest, but for a tenth of them.

        Raises:
            InputError: with so long breaks between its frames, a film of that rate would have hardly anything but
                repetitions.
        """
        rate, frames = self.frames_per_second, np.arange(len(self))
        if rate >= 1 and (np.abs(self.times * rate - frames) <= 0.5).all():
            return rate, frames
        shortest = float(np.quantile(np.diff(self.times), 0.1))
        rate = float(round(min(max(1 / shortest, 1.0), FASTEST_RATE)))
        count, most = int(self.times[-1] * rate + 0.5) + 1, max(MOST_FRAMES, MOST_REPETITIONS * len(self))
        if count > most:
            raise InputError(
                f"{self.path}: its {len(self)} frames last {self.times[-1]:.0f} s, {count} at {rate:g} a second, "
                f"expected at most {most}"
            )
        shown = np.arange(count) / rate
        return rate, np.maximum(0, np.searchsorted(self.times, shown + 0.25 / rate, side="right") - 1)

    @property
    def milliseconds(self) -> Int[np.ndarray, " frame"]:
        """Times as whole milliseconds that rise strictly, which MediaPipe needs."""
        steps = np.arange(len(self))
        return np.maximum.accumulate(np.rint(1000 * self.times).astype(np.int64) - steps) + steps

    def frames(self) -> Iterator[Photograph]:
        """Yield the frames in the order of their times, as many as there are times.

        Raises:
            InputError: the file is gone, or cannot be decoded to its end.
        """
        with film_source(self.path) as (source, file), TemporaryFile() as said:
            command = ffmpeg_command(*source, *_EVERY_FRAME, *_SQUARE, *_PIXELS)
            # in a group of its own: Ctrl-C is this process's to handle
            process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, stderr=said, process_group=0
            )
            assert process.stdout is not None
            try:
                for _ in range(len(self)):
                    frame = _next_frame(process.stdout)
                    if frame is None:
                        said.seek(0)
                        reason = input_error(said.read().decode(errors="replace")) or "it has become shorter"
                        raise InputError(f"{self.path}: cannot be read to its end ({reason})")
                    yield frame
            finally:
                process.kill()
                process.stdout.close()
                process.wait()


def _next_frame(stream: IO[bytes]) -> Photograph | None:
    """Read a frame in the format PPM; None at the stream's end."""
    header = [stream.readline() for _ in range(3)]  # b"P6\n", width and height, the largest value
    if not header[2]:
        return None
    width, height = map(int, header[1].split())
    content = stream.read(3 * width * height)
    return (
        np.frombuffer(content, np.uint8).reshape(height, width, 3)
        if len(content) == 3 * width * height
        else None
    )


def open_film(path: Path | str) -> Film:
    """List the times of a film's frames.

    Raises:
        InputError: no path, or the file is missing or is no film, has no frames or frames of more than MOST_PIXELS
            pixels, or cannot be decoded whole.
    """
    path = user_path(path)
    require_kind(path, "a film")
    with path.open("rb") as file:
        if not set(file.read(HEAD_BYTES)) - _TEXT:
            raise InputError(f"{path}: is a text, perhaps a playlist, expected a film")
    streams = read_streams(path)
    if streams.has_sound and not streams.has_picture:
        raise InputError(f"{path}: has sound only, expected a film")
    if streams.pixels > MOST_PIXELS:
        raise InputError(
            f"{path}: cannot be read (its header announces more than {MOST_PIXELS} pixels), expected a film"
        )
    with film_source(path) as (source, file):
        command = ffmpeg_command(*source, *_EVERY_FRAME, *_MICROSECONDS, *_TINY, "-f", "framecrc", "-")
        listed = subprocess.run(command, stdin=file, capture_output=True, text=True, errors="replace")
    rows = [line.split(",") for line in listed.stdout.splitlines() if line and not line.startswith("#")]
    times = np.array([int(row[2]) for row in rows], np.float64) / 1e6
    error = input_error(listed.stderr)
    if not len(times):
        raise InputError(f"{path}: no frames ({error or 'empty'}), expected a film")
    said = error or (f"exit status {listed.returncode}" if listed.returncode else None)
    reason = (missing_end(path) or missing_pictures(path, len(times))) if said is None else f"ffmpeg: {said}"
    if reason is not None:
        raise InputError(
            f"{path}: is damaged or incomplete ({reason}), expected a film that can be decoded to its end; "
            "encoding it anew may mend it"
        )
    start_s = max(0.0, float(times[0]))
    times = np.maximum.accumulate(times - times[0])
    repeated = np.concatenate([[False], np.diff(times) <= 0])
    return Film(path, times + 1e-6 * np.cumsum(repeated), start_s)
