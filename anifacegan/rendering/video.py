"""Videos: H.264 in MP4."""

import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from anifacegan.runtime.errors import first_line
from anifacegan.runtime.ffmpeg import PROGRAM_VARIABLE, ffmpeg_command, file_name, film_input, read_streams

_BT709 = "colorspace=bt709:color_primaries=bt709:color_trc=bt709"
_COLOURS = ("-vf", f"scale=out_color_matrix=bt709,setparams={_BT709}")
"""Words by which colours are those of BT.709, and the file says so: players guess them by the height otherwise."""


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    fps: int | float,
    comment: str | None = None,
    sound: Path | None = None,
    sound_start_s: float = 0.0,
) -> None:
    """Write frames as an H.264 video (MP4, yuv420p, readable by common players).

    The colours are those of BT.709, as the file says. An odd width or height is padded by repeating the last column or
    row. ``comment`` becomes the file's comment; ``sound`` is a film whose sound is added, if it has any, from
    ``sound_start_s`` seconds after the film's start on.
    When writing fails or is interrupted, no file is left at ``path``.

    Raises:
        OSError: the encoder failed, for example on a full disk; its own message goes to stderr.
    """
    frames = map(_padded_to_even, frames)
    first = next(frames)
    height, width = first.shape[:2]
    drawn = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    drawn += ["-r", str(Fraction(fps).limit_denominator(100_000)), "-i", "pipe:0"]
    metadata = [] if comment is None else ["-metadata", f"comment={comment}"]
    command = ffmpeg_command(
        "-y",
        *drawn,
        *_sound_words(sound, sound_start_s),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"),
        *_COLOURS,
        *(*metadata, "-f", "mp4", file_name(path)),
    )
    count = 0
    try:
        # in a group of its own: Ctrl-C is this process's to handle
        with subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0) as encoder:
            assert encoder.stdin is not None
            try:
                for frame in chain([first], frames):
                    encoder.stdin.write(np.ascontiguousarray(frame).data)
                    count += 1
            except BaseException:
                encoder.kill()
                with suppress(OSError):  # what it has not read
                    encoder.stdin.close()
                raise
        if encoder.returncode:
            raise OSError(f"exit status {encoder.returncode}")
        _check_frame_count(path, count)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            given = os.environ.get(PROGRAM_VARIABLE)
            program = "" if given is None else f", which is {PROGRAM_VARIABLE}={given!r}"
            raise OSError(f"{path.name}: the video encoder failed ({first_line(error)}){program}") from None
        raise


def _sound_words(film: Path | None, start_s: float) -> list[str]:
    """Return the words by which ffmpeg adds a film's sound from a time on; none if it has no sound."""
    if film is None or not read_streams(film).has_sound:
        return []
    words = [*film_input(film), "-map", "0:v:0", "-map", "1:a:0", "-c:a", "aac"]
    return (
        [*words, "-af", f"atrim=start={start_s:.6f},asetpts=PTS-{start_s:.6f}/TB"] if start_s > 0 else words
    )


def _check_frame_count(path: Path, count: int) -> None:
    """Raise OSError if frames are missing from the file."""
    try:
        found = imageio_ffmpeg.count_frames_and_secs(file_name(path))[0]
    except RuntimeError:
        raise OSError("it left no readable video") from None
    if found != count:
        raise OSError(f"it left {found} frames, expected {count}")


def _padded_to_even(
    frame: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "even_height even_width 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
