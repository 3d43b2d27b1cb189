"""Colours of closed eyelids, which a photograph of open eyes does not show: the skin around, and a line of lashes."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from anifacegan.capture.filling import blurred, filled
from anifacegan.capture.head_surface import HeadSurface
from anifacegan.capture.painting import SeenTexels
from anifacegan.geometry.rasterization.texels import TexelOwners
from anifacegan.geometry.resampling import smoothstep

RING = 26
"""Width of the skin around the lids that colours them, texels."""
TYPICAL, UNLIKE = 0.6, 0.09
"""Quantile of the ring's brightness that is taken for the skin's, and how much darker or brighter a texel may be to
count as skin: brows, lashes and frames of glasses are darker, highlights are brighter."""
LASH_WIDTH, LASH_DARKNESS = 4.0, 0.7
"""Width of the line of lashes, texels, and how much darker than the lid it is."""
SHOWN_LASHES = 0.3
"""Share of the darkness where the photograph shows the margin, whose lashes are dark already."""
LID_LIGHT = 0.95
"""Brightness of a closed lid relative to the skin around it."""
UNFOLDING = (1.5e-3, 3.5e-3)
"""Distances that skin moves when the eye closes, world units, at which it begins to count as an opening fold, and does
fully; what a photograph of open eyes shows of it would be stretched."""
LID_BLUR = 6.0
LID_RIM = 3.0
"""Standard deviation of the soft edge between painted lids and the photograph, texels."""
LIDS_APART = 10
"""Distance from the margin of the closed lids at which the skin under the eye begins that lends its pores, texels."""
PORE_BLUR, PORE_LIMIT, PORE_SHARE = 4.0, 0.05, 0.8
"""Pores and fine wrinkles are what a blur of this many texels takes away, at most this bright; and the share of them
that a lid gets."""
LEAST_VIVID = 0.7
"""Smallest colourfulness of skin, relative to the ring's median: the white of an eye, which a fit that errs puts on the
lid, has less."""
SHADOWS = ((0.14, 0.95, 0.12), (0.08, 0.0, 0.15))
"""Darkness, place and width of the shadows in the crease and at the lashes; places as shares of the lid's height."""
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
    vivid = np.ptp(rgb, axis=-1)
    source = ring & (np.abs(grey - np.quantile(grey[ring], TYPICAL)) < UNLIKE)
    source &= vivid > LEAST_VIVID * np.median(vivid[ring])
    skin = blurred(filled(rgb, source.astype(np.float32)), LID_BLUR) * LID_LIGHT
    shown = (texels.seen > 0) & (texels.facing > 0.15)
    distance = _distance(margin, lid)
    unfolds = unfolds * smoothstep(LASH_WIDTH, 2 * LASH_WIDTH, distance)
    hidden = lid * np.maximum(~shown, unfolds)
    height = _height(margin, lid)
    skin = skin * _lid_shading(height, hidden)[..., None] + PORE_SHARE * _pores(
        rgb, shown & ~lid, height, lid
    )
    share = ndimage.gaussian_filter(hidden.astype(np.float32), LID_RIM)
    share = np.maximum(share, hidden * (height > -LASH_WIDTH))  # the lid's own margin stays sharp
    lashes = LASH_DARKNESS * np.exp(-np.square(distance / LASH_WIDTH)) * np.where(shown, SHOWN_LASHES, 1.0)
    painted = rgb * (1 - share[..., None]) + skin * share[..., None]
    result = texture.copy()
    result[..., :3] = painted * (1 - lashes[..., None])
    return result


def _height(margin: Float[np.ndarray, "column 2"], lid: np.ndarray) -> Float[np.ndarray, "height width"]:
    """Return how far texels lie above the margin of the closed upper lid in their column, texels."""
    order = np.argsort(margin[:, 0])
    rows = np.interp(np.arange(lid.shape[1]), margin[order, 0], margin[order, 1])
    return (rows - np.arange(lid.shape[0])[:, None]).astype(np.float32)


def _lid_shading(
    height: Float[np.ndarray, "height width"], hidden: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Return the brightness of a closed upper lid, a bulge that light from above meets: bright in its middle, darker
    in the crease under the brow and at the lashes; 1 on the lower lid.

    ``hidden`` is the share of the lid that the photograph does not show: the crease is at its upper end.
    """
    tallest = np.where(hidden > 0.5, height, 0).max(axis=0)  # of each column
    tallest = ndimage.gaussian_filter1d(tallest, LID_BLUR)
    up = (height / np.maximum(tallest, 1.0)).clip(0, 1.5)
    bulge = 0.06 * np.exp(-np.square((up - 0.5) / 0.2))
    crease, lashes = (depth * np.exp(-np.square((up - at) / width)) for depth, at, width in SHADOWS)
    return np.where(height > 0, 1 + bulge - crease - lashes, 1.0).astype(np.float32)


def _pores(
    rgb: Float[np.ndarray, "height width 3"],
    source: np.ndarray,
    height: Float[np.ndarray, "height width"],
    lid: np.ndarray,
) -> Float[np.ndarray, "height width 3"]:
    """Return fine detail for the lid: that of the skin under the eye, mirrored at the margin; 0 where that is not
    in ``source``, the skin that the photograph shows."""
    low = blurred(filled(rgb, source.astype(np.float32)), PORE_BLUR)
    detail = (rgb - low).clip(-PORE_LIMIT, PORE_LIMIT)
    detail = detail * ndimage.binary_erosion(source, iterations=2)[..., None]
    row, column = (lid & (height > 0)).nonzero()
    mirrored = np.rint(row + 2 * height[row, column] + LIDS_APART).astype(int).clip(0, len(rgb) - 1)
    pores = np.zeros_like(rgb)
    pores[row, column] = detail[mirrored, column]
    return pores


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
