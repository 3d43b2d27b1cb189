"""Colours of closed eyelids, which a photograph of open eyes does not show: the skin around, and a line of lashes."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from anifacegan.capture.filling import blurred, filled
from anifacegan.capture.head_surface import HeadSurface
from anifacegan.capture.painting import SeenTexels, TexelOwners

RING = 26
"""Width of the skin around the lids that colours them, texels."""
DARKER = 0.06
"""How much darker than the median of the ring's bright half a texel may be to count as skin: brows, lashes and frames
of glasses are darker."""
LASH_WIDTH, LASH_DARKNESS = 3.0, 0.62
"""Width of the line of lashes, texels, and how much darker than the lid it is."""
LID_LIGHT = 0.95
"""Brightness of a closed lid relative to the skin around it."""
LID_BLUR = 6.0
MARGIN_STEPS = 8


def with_closed_lids(
    texture: Float[np.ndarray, "height width 4"],
    surface: HeadSurface,
    owners: TexelOwners,
    texels: SeenTexels,
) -> Float[np.ndarray, "height width 4"]:
    """Give the skin's texture lids: texels of the lids that the photograph does not show, and the lashes at the margin
    of the upper lid."""
    size = len(texture)
    number = np.full(len(surface.model.mean), -1)
    skin_count = surface.skin_count
    number[surface.selected[:skin_count]] = np.arange(skin_count)
    for eye in surface.model.eyes:
        is_lid = np.zeros(len(surface.selected), bool)
        moving = number[np.union1d(eye.lids, eye.closing.followers)]
        is_lid[moving[moving >= 0]] = True
        lid = _texel_mask(owners, is_lid[owners.corners].all(axis=1), size)
        margins = [surface.texels[number[m][number[m] >= 0]] for m in (eye.closing.upper, eye.closing.lower)]
        texture = _one_lid(texture, texels, lid, margins)
    return texture


def _one_lid(
    texture: Float[np.ndarray, "height width 4"],
    texels: SeenTexels,
    lid: np.ndarray,
    margins: list[np.ndarray],
) -> Float[np.ndarray, "height width 4"]:
    rgb = texture[..., :3]
    ring = ndimage.binary_dilation(lid, iterations=RING) & ~lid & (texels.seen > 0) & (texels.facing > 0.2)
    if np.count_nonzero(ring) < 50:  # the head is turned away
        ring = ndimage.binary_dilation(lid, iterations=RING) & ~lid & (texels.owned > 0)
    grey = rgb.mean(axis=-1)
    bright = np.median(grey[ring][grey[ring] >= np.median(grey[ring])])
    source = ring & (grey > bright - DARKER)
    skin = filled(rgb, source.astype(np.float32))
    skin = blurred(skin, LID_BLUR) * LID_LIGHT
    shown = (texels.seen > 0) & (texels.facing > 0.15)
    distance = _distance(margins[0], lid)
    hidden = lid & (~shown | (np.minimum(distance, _distance(margins[1], lid)) < 2 * LASH_WIDTH))
    share = ndimage.gaussian_filter(hidden.astype(np.float32), 1.5) * ndimage.binary_dilation(
        lid, iterations=2
    )
    lashes = LASH_DARKNESS * np.exp(-np.square(distance / LASH_WIDTH))
    painted = rgb * (1 - share[..., None]) + skin * share[..., None]
    result = texture.copy()
    result[..., :3] = painted * (1 - lashes[..., None])
    return result


def _texel_mask(owners: TexelOwners, chosen: np.ndarray, size: int) -> np.ndarray:
    mask = np.zeros(size * size, bool)
    mask[owners.flat[chosen]] = True
    return mask.reshape(size, size)


def _distance(margin: Float[np.ndarray, "column 2"], lid: np.ndarray) -> Float[np.ndarray, "height width"]:
    """Return the distance of the texels of a lid to its margin; large elsewhere."""
    steps = np.linspace(0, 1, MARGIN_STEPS, endpoint=False)[:, None, None]
    line = (margin[:-1] + steps * np.diff(margin, axis=0)).reshape(-1, 2)
    around = ndimage.binary_dilation(lid, iterations=6)
    distance = np.full(lid.shape, 1e3, np.float32)
    row, column = around.nonzero()
    distance[row, column] = cKDTree(line).query(np.stack([column, row], axis=-1))[0]
    return distance
