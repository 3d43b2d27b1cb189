"""Colours of closed eyelids, which a photograph of open eyes does not show: the skin around, and a line of lashes."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from anifacegan.capture.filling import blurred, filled
from anifacegan.capture.head_surface import HeadSurface
from anifacegan.capture.painting import SeenTexels, TexelOwners
from anifacegan.geometry.resampling import smoothstep

RING = 26
"""Width of the skin around the lids that colours them, texels."""
DARKER = 0.06
"""How much darker than the median of the ring's bright half a texel may be to count as skin: brows, lashes and frames
of glasses are darker."""
LASH_WIDTH, LASH_DARKNESS = 4.0, 0.7
"""Width of the line of lashes, texels, and how much darker than the lid it is."""
SHOWN_LASHES = 0.8
"""Share of the darkness where the photograph shows the margin, whose lashes are dark already."""
LID_LIGHT = 0.95
"""Brightness of a closed lid relative to the skin around it."""
UNFOLDING = (1.5e-3, 3.5e-3)
"""Distances that skin moves when the eye closes, world units, at which it begins to count as an opening fold, and does
fully; what a photograph of open eyes shows of it would be stretched."""
LID_BLUR = 6.0
MARGIN_STEPS = 8


def with_closed_lids(
    texture: Float[np.ndarray, "height width 4"],
    surface: HeadSurface,
    owners: TexelOwners,
    texels: SeenTexels,
    moved: Float[np.ndarray, "vertex"],
) -> Float[np.ndarray, "height width 4"]:
    """Give the skin's texture lids: texels of the lids that the photograph does not show, or folded and foreshortened,
    and the lashes at the margin of the upper lid.

    ``moved`` is how far each vertex moves from the photograph's expression to closed eyes, world units.
    """
    size = len(texture)
    travel = np.zeros(size * size, np.float32)
    travel[owners.flat] = (owners.shares * moved[owners.corners]).sum(axis=1)
    unfolds = smoothstep(*UNFOLDING, travel.reshape(size, size))
    number = np.full(len(surface.model.mean), -1)
    skin_count = surface.skin_count
    number[surface.selected[:skin_count]] = np.arange(skin_count)
    for eye in surface.model.eyes:
        is_lid = np.zeros(len(surface.selected), bool)
        moving = number[np.union1d(eye.lids, eye.closing.followers)]
        is_lid[moving[moving >= 0]] = True
        lid = _texel_mask(owners, is_lid[owners.corners].all(axis=1), size)
        margin = number[eye.closing.upper]
        texture = _one_lid(texture, texels, unfolds, lid, surface.texels[margin[margin >= 0]])
    return texture


def _one_lid(
    texture: Float[np.ndarray, "height width 4"],
    texels: SeenTexels,
    unfolds: np.ndarray,
    lid: np.ndarray,
    margin: np.ndarray,
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
    distance = _distance(margin, lid)
    unfolds = unfolds * smoothstep(LASH_WIDTH, 2 * LASH_WIDTH, distance)
    hidden = lid * np.maximum(~shown, unfolds)
    share = ndimage.gaussian_filter(hidden.astype(np.float32), 1.5)
    share = share * ndimage.binary_dilation(lid, iterations=2)
    lashes = LASH_DARKNESS * np.exp(-np.square(distance / LASH_WIDTH)) * np.where(shown, SHOWN_LASHES, 1.0)
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
