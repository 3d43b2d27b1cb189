"""The part of a photograph that the generator's camera sees: a square that may be turned.

Unit coordinates of a crop are x (right) and y (down) from its centre; its corner pixels' centres are at -0.5 and 0.5.
Photograph coordinates are pixels, integers at pixel centres.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.geometry.resampling import read_pixels

STRIP_PIXELS = 2**22
"""Number of pixels of a photograph, about, that are averaged at a time."""
Photograph = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Crop:
    """A turned square of a photograph."""

    x: float
    """Column of the centre, pixels of the photograph."""
    y: float
    """Row of the centre, pixels of the photograph."""
    side: float
    """Distance between the centres of two corner pixels on one side of the crop, pixels of the photograph."""
    roll: float = 0.0
    """Angle, radians, by which the crop's x axis is turned from the photograph's x axis toward its y axis (down)."""

    @classmethod
    def whole(cls, size: int) -> "Crop":
        """Return the crop that is all of a square photograph of ``size`` pixels."""
        return cls((size - 1) / 2, (size - 1) / 2, float(size - 1))

    @classmethod
    def from_similarity(
        cls, similarity: Float[np.ndarray, "4"], centre: Float[np.ndarray, "2"], scale: float
    ) -> "Crop":
        """Make the crop whose unit coordinates are a similarity of ``(photograph - centre) / scale``.

        A similarity (a, b, c, d) maps (x, y) to (a x - b y + c, b x + a y + d).
        """
        a, b, *shift = similarity.tolist()
        size = math.hypot(a, b)
        roll = -math.atan2(b, a)
        cosine, sine = math.cos(roll), math.sin(roll)
        x, y = -shift[0] / size, -shift[1] / size
        return cls(
            x=float(centre[0] + scale * (cosine * x - sine * y)),
            y=float(centre[1] + scale * (sine * x + cosine * y)),
            side=scale / size,
            roll=roll,
        )

    def similarity(self, centre: Float[np.ndarray, "2"], scale: float) -> Float[np.ndarray, "4"]:
        """Return the similarity of which :meth:`from_similarity` makes this crop."""
        a, b = (scale / self.side * f(-self.roll) for f in (math.cos, math.sin))
        x, y = (self.x - centre[0]) / scale, (self.y - centre[1]) / scale
        return np.array([a, b, -(a * x - b * y), -(b * x + a * y)])

    def _axes(self) -> Float[np.ndarray, "2 2"]:
        cosine, sine = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cosine, sine], [-sine, cosine]])  # rows: the crop's x and y axes in the photograph

    def to_photograph(self, unit: Float[np.ndarray, "*point 2"]) -> Float[np.ndarray, "*point 2"]:
        """Convert unit coordinates of the crop to pixel coordinates of the photograph."""
        return self.side * unit @ self._axes() + np.array([self.x, self.y])

    def to_unit(self, pixels: Float[np.ndarray, "*point 2"]) -> Float[np.ndarray, "*point 2"]:
        """Convert pixel coordinates of the photograph to unit coordinates of the crop."""
        return (pixels - np.array([self.x, self.y])) @ self._axes().T / self.side

    def cut(
        self, photograph: UInt8[np.ndarray, "height width channel"], size: int
    ) -> UInt8[np.ndarray, "size size channel"]:
        """Resample the crop to ``size`` x ``size`` pixels, with averages where it shrinks; a mask has one channel.

        Beyond the photograph's border its outermost pixels go on. Memory is needed for what is averaged, not for all
        pixels that the crop touches.
        """
        height, width = photograph.shape[:2]
        factor = max(1, min(height, width, int(self.side / (size - 1))))
        unit = np.linspace(-0.5, 0.5, size)
        places = self.to_photograph(np.stack(np.meshgrid(unit, unit), axis=-1))
        places = (places - (factor - 1) / 2) / factor  # pixels of the averages
        columns, rows = (_touched(places[..., k], count // factor) for k, count in enumerate((width, height)))
        part = photograph[_times(rows, factor), _times(columns, factor)]
        image = _averages(part, factor)
        places = torch.from_numpy(places - [columns.start, rows.start]).float()[None]
        cut = read_pixels(image, places, beyond="border")[0]
        return cut.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _averages(
    part: UInt8[np.ndarray, "height width channel"], factor: int
) -> Float[Tensor, "1 channel row column"]:
    """Average squares of ``factor`` pixels, strip by strip: as float32, a large photograph would be gigabytes."""
    height, width = part.shape[:2]
    rows = factor * max(1, STRIP_PIXELS // (factor * max(width, 1)))
    strips = (
        torch.from_numpy(np.array(part[top : top + rows])).permute(2, 0, 1)[None].float()
        for top in range(0, height, rows)
    )
    return torch.cat([torch.nn.functional.avg_pool2d(strip, factor) for strip in strips], dim=2)


def _touched(places: Float[np.ndarray, "row column"], count: int) -> slice:
    """Return the rows, of ``count``, between which places lie; the two nearest ones where all are beyond the border."""
    low, high = np.floor([places.min(), places.max()]).clip(-1, count).astype(int).tolist()
    start = max(0, min(low, count - 2))
    return slice(start, min(count, max(high, start) + 2))


def _times(pixels: slice, factor: int) -> slice:
    return slice(factor * pixels.start, factor * pixels.stop)


def to_pixels(unit: Float[np.ndarray, "*point 2"], size: int) -> Float[np.ndarray, "*point 2"]:
    """Convert unit coordinates of a crop to pixel coordinates of its image of ``size`` x ``size`` pixels."""
    return (unit + 0.5) * (size - 1)


def to_unit_coordinates(pixels: Float[np.ndarray, "*point 2"], size: int) -> Float[np.ndarray, "*point 2"]:
    """Convert pixel coordinates of a crop's image of ``size`` x ``size`` pixels to unit coordinates, the inverse of
    :func:`to_pixels`."""
    return pixels / (size - 1) - 0.5
