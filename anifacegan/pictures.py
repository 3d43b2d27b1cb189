"""Pictures on disk: PNG, depth maps, films, contact sheets. Arrays are (height, width, channel) of bytes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from anifacegan.atomic_files import encoded_image
from anifacegan.errors import first_line

WHITE, INK = (255, 255, 255), (40, 40, 40)
GAP_PX, FONT_PX = 8, 13


def to_bytes(image: Float[Tensor, "channel height width"]) -> UInt8[np.ndarray, "height width channel"]:
    """Colours in [0, 1] as the nearest of 256 levels."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def straight_alpha(
    foreground_rgb: Float[Tensor, "3 height width"], foreground: Float[Tensor, "1 height width"]
) -> Float[Tensor, "4 height width"]:
    """RGBA as PNG has it, from colours premultiplied by their opacity: not premultiplied."""
    rgb = torch.where(foreground > 0, foreground_rgb / foreground.clamp(min=1e-8), 0.0)
    return torch.cat([rgb.clamp(0, 1), foreground])


def over_white(rgba: UInt8[np.ndarray, "height width 4"]) -> UInt8[np.ndarray, "height width 3"]:
    """What a transparent picture looks like on paper."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def depth_levels(
    depth: Float[Tensor, "1 height width"], near: float, far: float
) -> UInt16[np.ndarray, "height width"]:
    """Distance as 16-bit grey: 0 at ``near``, 65535 at ``far``, clipped there. Units are the caller's."""
    share = (depth[0].double() - near) / (far - near)
    return (share.clamp(0, 1) * 65535).round().cpu().numpy().astype(np.uint16)


def write_png(
    path: Path, pixels: UInt8[np.ndarray, "height width channel"] | UInt16[np.ndarray, "height width"]
) -> None:
    """Write RGB, RGBA or 16-bit grey into a folder that is itself complete or not there."""
    path.write_bytes(encoded_image(pixels))


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], fps: int) -> None:
    """Write H.264 in MP4, yuv420p as every player reads it.

    An odd size gets one more row and column, copies of the last. When writing fails or is interrupted, no file is
    left at ``path``.

    Raises:
        OSError: the encoder failed, for lack of space say; what it says itself goes to stderr.
    """
    frames = map(_even, frames)
    first = next(frames)
    height, width = first.shape[:2]
    encoder = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec="libx264", quality=None, macro_block_size=1,
        ffmpeg_log_level="error", output_params=["-crf", "18", "-movflags", "+faststart", "-f", "mp4"],
    )  # fmt: skip
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


def _check_frame_count(path: Path, count: int) -> None:
    """Refuse a video that is not whole: imageio-ffmpeg ignores the encoder's exit status."""
    try:
        found = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:
        raise OSError("it left no readable video") from None
    if found != count:
        raise OSError(f"it left {found} frames, expected {count}")


def _even(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "even_height even_width 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


@dataclass(frozen=True)
class SheetRow:
    """Pictures side by side, with a label of one or more lines to their left."""

    label: str
    cells: Sequence[UInt8[np.ndarray, "side side 3"]]
    starts_group: bool = False
    """Leave a gap above."""


def contact_sheet(columns: Sequence[str], rows: Sequence[SheetRow]) -> UInt8[np.ndarray, "height width 3"]:
    """Lay out labelled images in rows and columns; all cells have one size.

    Laid out here and not by ``torchvision.utils.make_grid``, which has no place for row labels nor for gaps between
    groups of rows alone.
    """
    font = ImageFont.load_default(FONT_PX)
    side = rows[0].cells[0].shape[0]
    left = 2 * GAP_PX + math.ceil(max(font.getlength(line) for row in rows for line in row.label.splitlines()))
    top = 2 * GAP_PX + FONT_PX
    tops = []
    bottom = top
    for k, row in enumerate(rows):
        bottom += GAP_PX if row.starts_group and k else 0
        tops.append(bottom)
        bottom += side

    sheet = Image.new("RGB", (left + side * len(columns) + GAP_PX, bottom + GAP_PX), WHITE)
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(columns):
        centre = left + side * (column + 0.5)
        draw.text((centre, top / 2), shortened(label, font, side - 4), INK, font, anchor="mm")
    for row, y in zip(rows, tops, strict=True):
        draw.multiline_text((GAP_PX, y + side / 2), row.label, INK, font, anchor="lm")
        for column, cell in enumerate(row.cells):
            sheet.paste(Image.fromarray(cell), (left + column * side, y))
    return np.asarray(sheet)


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"
