"""Videos: H.264 in MP4."""

from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from anifacegan.runtime.errors import first_line


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    fps: int | float,
    comment: str | None = None,
    sound: Path | None = None,
) -> None:
    """Write frames as an H.264 video (MP4, yuv420p, readable by common players).

    An odd width or height is padded by repeating the last column or row. ``comment`` becomes the file's comment;
    ``sound`` is a film whose sound is added, if it has any. When writing fails or is interrupted, no file is left at
    ``path``.

    Raises:
        OSError: the encoder failed, for example on a full disk; its own message goes to stderr.
    """
    frames = map(_padded_to_even, frames)
    first = next(frames)
    metadata = [] if comment is None else ["-metadata", f"comment={comment}"]
    height, width = first.shape[:2]
    audible = sound is not None and _has_sound(sound)
    encoder = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        quality=None,
        macro_block_size=1,
        audio_path=str(sound) if audible else None,
        audio_codec="aac" if audible else None,
        ffmpeg_log_level="error",
        output_params=["-crf", "18", "-movflags", "+faststart", *metadata, "-f", "mp4"],
    )
    count = 0
    try:
        try:
            encoder.send(None)
            for frame in chain([first], frames):
                encoder.send(np.ascontiguousarray(frame))
                count += 1
        finally:
            encoder.close()
        _check_frame_count(path, count)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"{path.name}: the video encoder failed ({first_line(error)})") from None
        raise


def _has_sound(film: Path) -> bool:
    reader = imageio_ffmpeg.read_frames(str(film))
    with closing(reader):
        return "audio_codec" in next(reader)


def _check_frame_count(path: Path, count: int) -> None:
    """Raise OSError if frames are missing from the file; imageio-ffmpeg ignores the encoder's exit status."""
    try:
        found = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:
        raise OSError("it left no readable video") from None
    if found != count:
        raise OSError(f"it left {found} frames, expected {count}")


def _padded_to_even(
    frame: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "even_height even_width 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
