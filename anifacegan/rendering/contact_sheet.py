"""Contact sheets: a labelled grid of images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from anifacegan.rendering.images import INK, WHITE

GAP_PX, FONT_PX = 8, 13
"""Gap between parts of the sheet, and height of its font, pixels."""


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet: images with a label of one or more lines on the left."""

    label: str
    """Text at the left of the row; it may have several lines."""
    cells: Sequence[UInt8[np.ndarray, "side side 3"]]
    """Images of the row from left to right."""
    starts_group: bool = False
    """Whether a gap separates the row from the row above it."""


def contact_sheet(columns: Sequence[str], rows: Sequence[SheetRow]) -> UInt8[np.ndarray, "height width 3"]:
    """Arrange images of one size in labelled rows and columns, and return the sheet.

    ``torchvision.utils.make_grid`` is not used because it has no row labels and no gaps between groups of rows.
    """
    font = ImageFont.load_default(FONT_PX)
    side = rows[0].cells[0].shape[0]
    left = 2 * GAP_PX + math.ceil(
        max(font.getlength(line) for row in rows for line in row.label.splitlines())
    )
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
    """Cut a text so that it is at most ``width_px`` pixels wide; an ellipsis replaces the part that was cut off."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"
