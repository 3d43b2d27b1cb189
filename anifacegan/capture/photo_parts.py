"""What a photograph's crop consists of: the person's clean colours, the person's share, and the background behind."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from anifacegan.capture.crop import Crop, Photograph
from anifacegan.capture.filling import push_pull_filled
from anifacegan.geometry.resampling import smoothstep

SIZE = 512
"""Height and width of the crop, pixels."""
EROSION_PX = 2
"""Width of the person's rim that is given to the background, pixels of the crop: it is mixed with the background."""
SOFT_PX = 1.5
"""Width of the outline's soft edge, pixels of the crop."""
MIXED_PX = 2
"""Width of the rim inside, whose colours are replaced by those farther inside."""
GHOST_PX = 10
"""Width of the rim outside that the background does not take its colours from, pixels of the crop."""
LEAST_BACKGROUND = 300
"""Number of known pixels of the background below which it is grey."""
GREY = 0.5


@dataclass(frozen=True)
class PhotoParts:
    """The crop of a photograph that the generator's camera sees; all arrays are in [0, 1]."""

    rgb: Float[np.ndarray, "size size 3"]
    """The crop as it is."""
    person: Float[np.ndarray, "size size 3"]
    """The person's colours without the background's at the outline, and beyond it what is nearest."""
    share: Float[np.ndarray, "size size"]
    """The person's opacity."""
    background: Float[np.ndarray, "size size 3"]
    """The background, filled in behind the person."""


def photo_parts(
    photograph: Photograph, person: UInt8[np.ndarray, "height width"], crop: Crop, size: int = SIZE
) -> PhotoParts:
    """Cut the crop out of a photograph and of its person's mask, 0 to 255, and separate person and background."""
    rgb = crop.cut(photograph, size).astype(np.float32) / 255
    share = crop.cut(person[..., None], size)[..., 0].astype(np.float32) / 255
    known, above_or_below = _inside_photograph(photograph, crop, size)
    share = share * np.maximum(known, above_or_below)
    rgb = push_pull_filled(rgb, known)
    cut_off = ndimage.distance_transform_edt(known > 0.5) if (known < 0.5).any() else None
    solid = ndimage.grey_erosion(share, footprint=_disk(EROSION_PX))
    if cut_off is not None:  # the person is not thinner where the photograph ends
        solid = np.where(cut_off <= EROSION_PX, push_pull_filled(share[..., None], known)[..., 0], solid)
    solid = np.minimum(share_of(solid), share)
    inner = ndimage.binary_erosion(solid > 0.9, iterations=MIXED_PX, border_value=1)
    clean = push_pull_filled(rgb, np.maximum(inner, 0.0).astype(np.float32))
    outer = ~ndimage.binary_dilation(share > 0.05, iterations=GHOST_PX) & (known > 0.5)
    behind = np.full_like(rgb, GREY)
    if np.count_nonzero(outer) > LEAST_BACKGROUND:
        behind = push_pull_filled(rgb, outer.astype(np.float32))
        exact = ndimage.binary_dilation(share > 0.02, iterations=2)
        behind = np.where(exact[..., None] | (known < 0.5)[..., None], behind, rgb)
    return PhotoParts(rgb, clean, solid.astype(np.float32), behind.astype(np.float32))


def share_of(eroded: Float[np.ndarray, "size size"]) -> Float[np.ndarray, "size size"]:
    """Return opacities that fall off softly, over some pixels, outside of an eroded mask."""
    return smoothstep(0.1, 0.75, ndimage.gaussian_filter(eroded, SOFT_PX)).astype(np.float32)


def _inside_photograph(
    photograph: Photograph, crop: Crop, size: int
) -> tuple[Float[np.ndarray, "size size"], Float[np.ndarray, "size size"]]:
    """Mark the pixels inside the photograph, and those above and below it, where hair and shoulders go on."""
    unit = np.linspace(-0.5, 0.5, size)
    places = crop.to_photograph(np.stack(np.meshgrid(unit, unit), axis=-1))
    limits = np.array([photograph.shape[1] - 1, photograph.shape[0] - 1])
    inside = ((places >= 0) & (places <= limits)).all(axis=-1)
    within_width = (places[..., 0] >= 0) & (places[..., 0] <= limits[0])
    return inside.astype(np.float32), within_width.astype(np.float32)


def _disk(radius: int) -> np.ndarray:
    line = np.arange(-radius, radius + 1)
    return line[:, None] ** 2 + line**2 <= radius**2 + 1
