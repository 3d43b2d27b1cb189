"""Colours of closed eyelids, which a photograph of open eyes does not show: the skin around, and a line of lashes."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from anifacegan.capture.filling import blurred, push_pull_filled
from anifacegan.capture.head_surface import HeadSurface
from anifacegan.capture.painting import SeenTexels
from anifacegan.geometry.rasterization.texels import TexelOwners
from anifacegan.geometry.resampling import smoothstep

RING = 26
"""Width of the skin around the lids that colours them, texels."""
TYPICAL, UNLIKE = 0.55, 0.12
"""Quantile of the ring's brightness that is taken for the skin's, and how much darker or brighter a texel may be to
count as skin: brows, lashes and frames of glasses are darker, highlights are brighter."""
LASH_WIDTH, LASH_DARKNESS = 4.0, 0.7
"""Width of the line of lashes, texels, and how much darker than the lid it is."""
SHOWN_LASHES = 0.3
"""Share of the darkness where the photograph shows the margin, whose lashes are dark already."""
LID_LIGHT = 1.0
"""Brightness of a closed lid relative to the skin around it."""
UNFOLDING = (1.5e-3, 3.5e-3)
"""Distances that skin moves when the eye closes, world units, at which it begins to count as an opening fold, and does
fully; what a photograph of open eyes shows of it would be stretched."""
LID_BLUR = 8.0
FOLD_RIM = 7
"""Width of the square by which what the photograph does not show of a lid is widened, texels: the edge of the fold."""
LID_RIM = 5.0
"""Standard deviation of the soft edge between painted lids and the photograph, texels."""
MARGIN_BLUR = 0.8
REFLECTION = 0.16
"""How much brighter than skin reflections in glasses are, which stay before the lids."""
PORE_SHIFTS = tuple((down, right) for down in (-70, -50, 50, 70, 95, 120) for right in (-60, -30, 0, 30, 60))
"""Where skin may lie that lends its pores to a lid, texels below it and to its right."""
LEAST_COVERED, UNCOVERED = 0.3, 0.03
"""Smallest share of the lid that such skin covers, and how much roughness a whole lack of it counts as."""
PORE_BLUR, PORE_LIMIT, PORE_SHARE = 4.0, 0.045, 0.9
"""Pores and fine wrinkles are what a blur of this many texels takes away, at most this bright; and the share of them
that a lid gets."""
LEAST_VIVID = 0.7
"""Smallest colourfulness of skin, relative to the ring's median: the white of an eye, which a fit that errs puts on the
lid, has less."""
SHADOWS = ((0.11, 0.82, 0.11), (0.08, 0.0, 0.15))
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
    shown = (texels.seen > 0) & (texels.facing > 0.15)
    distance = _distance(margin, lid)
    unfolds = unfolds * smoothstep(LASH_WIDTH, 2 * LASH_WIDTH, distance)
    reflects = shown & (grey > np.quantile(grey[ring], TYPICAL) + REFLECTION)
    folded = ndimage.grey_dilation(np.maximum(~shown, unfolds), size=(FOLD_RIM, FOLD_RIM))
    hidden = lid * folded * ~ndimage.binary_dilation(reflects, iterations=3)
    height = _height(margin, lid)
    source = (ring | (lid & shown & (hidden < 0.01) & (distance > 3 * LASH_WIDTH))) & ~reflects
    source &= (np.abs(grey - np.quantile(grey[ring], TYPICAL)) < UNLIKE) & (
        vivid > LEAST_VIVID * np.median(vivid[ring])
    )
    skin = blurred(push_pull_filled(rgb, source.astype(np.float32)), LID_BLUR) * LID_LIGHT
    skin = skin * _lid_shading(height, hidden)[..., None]
    skin += PORE_SHARE * _pores(rgb, shown & ~lid & (np.abs(grey - np.median(grey[ring])) < UNLIKE), lid)
    soft = ndimage.gaussian_filter(hidden.astype(np.float32), LID_RIM)
    sharp = hidden * (height > -LASH_WIDTH)  # the lid's own margin stays sharp
    share = sharp + (soft - sharp) * smoothstep(LID_RIM, 3 * LID_RIM, height)
    lashes = LASH_DARKNESS * np.exp(-np.square(distance / LASH_WIDTH)) * np.where(shown, SHOWN_LASHES, 1.0)
    painted = rgb * (1 - share[..., None]) + skin * share[..., None]
    result = texture.copy()
    result[..., :3] = _smooth_margin(painted, distance) * (1 - lashes[..., None])
    return result


def _smooth_margin(
    rgb: Float[np.ndarray, "height width 3"], distance: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width 3"]:
    """Return colours without the stairs of texels at the margin, where photograph and paint meet."""
    near = distance < 3 * LASH_WIDTH
    row, column = near.nonzero()
    place = (slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1))
    mix = smoothstep(1.5 * LASH_WIDTH, 0.5 * LASH_WIDTH, distance[place])[..., None]
    result = rgb.copy()
    result[place] += (blurred(rgb[place], MARGIN_BLUR) - rgb[place]) * mix
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
    rgb: Float[np.ndarray, "height width 3"], source: np.ndarray, lid: np.ndarray
) -> Float[np.ndarray, "height width 3"]:
    """Return fine detail for the lid: that of a near piece of skin which is in ``source``, the skin that the photograph
    shows, and which is the smoothest; 0 where that is not."""
    low = blurred(push_pull_filled(rgb, source.astype(np.float32)), PORE_BLUR)
    inner = ndimage.binary_erosion(source, iterations=3)
    detail = (rgb - low).clip(-PORE_LIMIT, PORE_LIMIT) * inner[..., None]
    row, column = lid.nonzero()
    last = len(rgb) - 1
    pores, least = np.zeros_like(rgb), np.inf
    for down, right in PORE_SHIFTS:
        at = (row + down).clip(0, last), (column + right).clip(0, last)
        covered = inner[at].mean()
        if covered < LEAST_COVERED:
            continue
        roughness = detail[at].std() / covered + UNCOVERED * (1 - covered)
        if roughness < least:
            pores[row, column], least = detail[at], roughness
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
