"""Colours of the skin layer: the photograph where it is seen, else the other half of the face, else what is near."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from anifacegan.capture.filling import blurred, mirrored_filled, nearest_filled
from anifacegan.capture.painting import SeenTexels
from anifacegan.geometry.resampling import smoothstep

GRAZING, TRUSTED = 0.08, 0.35
"""Cosines between skin and viewing direction at which the photograph's colours begin to be carried on to skin that it
does not show, and are fully; the skin that it shows has its colours from the first of them on."""
MIRROR_TRUST = (0.2, 0.5)
"""The same for the other half of the face, whose mirror image stands in."""
ALIKE = (0.35, 0.6)
"""Ratios of the brightness of both halves below which the mirror image does not stand in, and from which it does
fully: it would show skin beyond hair."""
LOW_PASS = 24.0
"""Width, texels, of the averages whose ratio adapts the mirrored half to the light of this half."""
OUTLINE_PX = (0.5, 5.0)
"""Distances inside the outline of jaw and neck at which the photograph begins to count, and counts fully, pixels: the
fit errs, and the pixels at the outline may show a collar or the background."""
JAW_ROWS = (0.42, 0.5)
"""Rows of the texture, as shares of its height, between which the jaw begins; above it, hair goes on beside it."""
EYE_PX = 30
"""Half the width of openings that are no outline, such as eyes and an open mouth, pixels."""
WIDER_PX, TOLERANT = 5, (0.3, 0.6)
"""Width of the rim that is added to the person where the skin turns away, pixels; and the cosines between skin and
viewing direction up to which it is added fully, and from which it is not."""
SIDES_Z = (-0.03, -0.045)
"""Place of the sides of the head, beside and behind the temples: where they begin and where they are fully, z of the
neutral face, world units."""
LEAST_GAP = 400
"""Number of texels from which a hole in the skin is the gap between the lips, or an ear."""
EAR_EDGE = 7.0
"""Width of the soft edge of the skin before an ear, texels."""
SIDE_COLUMNS, CHEEK_ROWS = (0.14, 0.2), (0.29, 0.34, 0.62, 0.67)
"""Distances from the middle column at which the sides of the face begin, and are reached; and rows at which the cheeks
begin, are reached, end, and the neck is reached: shares of the texture."""
LEAST_CERTAIN = 0.55
"""Cosine between skin and viewing direction from which the photograph certainly shows skin there."""
SLANTED, UNLIKE_LIGHT, UNLIKE_TINT = (0.35, 0.6), (0.15, 0.35), (0.1, 0.22)
"""Cosines at which skin counts as slanted, and from which it does not; and the logarithms of the ratios to the skin
near in brightness and tint at which slanted skin begins to be, and is, something else."""
TURNED, VERY_UNLIKE = (0.6, 0.75), (0.4, 0.8)
"""The same for skin that is turned less, where only what is much brighter or darker counts."""
JAW_GRAZING = (0.15, 0.35)
"""Cosines up to which the photograph does not count under the jaw, and from which it does."""
LIP_RIM, LIP_BLUR, LIP_LIGHT = 3.0, 1.2, 0.5
"""Width of the lips' inner edge and standard deviation of its blur, texels; and the share of its darkness that is taken
away."""
LEAST_SHARE = 0.9
"""Opacity of the person below which a pixel is no source of colours."""


def skin_texture(
    texels: SeenTexels,
    person: Float[np.ndarray, "size size 3"],
    share: Float[np.ndarray, "size size"],
    depth: Float[np.ndarray, "size size"],
) -> Float[np.ndarray, "height width 4"]:
    """Paint the skin; returns colours and opacity, not premultiplied.

    ``person`` and ``share`` are the person's colours and opacity in the photograph's view, ``depth`` is that of the
    face's skin, infinite beside it.
    """
    colour = texels.read(person)
    seen = texels.seen > 0
    within = ndimage.distance_transform_edt(ndimage.binary_closing(np.isfinite(depth), iterations=EYE_PX))
    inner = texels.read(smoothstep(*OUTLINE_PX, within)[..., None])[..., 0]
    jaw = smoothstep(*JAW_ROWS, np.linspace(0, 1, len(seen)))[:, None]
    inner = 1 - (1 - inner) * jaw
    direct = seen * smoothstep(GRAZING, TRUSTED, texels.facing) * inner
    opacity = _opacity(texels, share)
    source = direct * (texels.read(share[..., None])[..., 0] > LEAST_SHARE)
    printed = _printed(colour, source > 0.5, texels)
    source = source * ndimage.binary_erosion((source > 0.5) & (printed < 0.5), iterations=2)
    known = mirrored_filled(colour, source > 0.5)
    mirrored, trust = _mirrored(colour, known, source * smoothstep(*MIRROR_TRUST, texels.facing))
    guess = known * (1 - trust[..., None]) + mirrored * trust[..., None]
    shown = np.maximum(direct, seen * smoothstep(0.0, GRAZING, texels.facing) * inner)
    shown = (shown * (1 - printed))[..., None]
    rgb = colour * shown + guess * (1 - shown)
    rgb = _with_smooth_lips(rgb, texels.owned > 0)
    ears = _holes(texels.owned > 0, aside=True)
    if ears.any():
        opacity = opacity * smoothstep(0.0, EAR_EDGE, ndimage.distance_transform_edt(~ears))
    return np.concatenate([rgb.clip(0, 1), opacity[..., None]], axis=-1)


def _printed(
    colour: Float[np.ndarray, "height width 3"], source: np.ndarray, texels: SeenTexels
) -> Float[np.ndarray, "height width"]:
    """Return how sure it is, 0 to 1, that the photograph shows an ear, hair or a collar at texels of cheek and jaw.

    Where the skin turns away, a fit that errs by a pixel or two puts what is beside the face on a broad strip of it. It
    differs in colour from the skin that goes on there.
    """
    size = len(source)
    place = np.linspace(0, 1, size)
    aside = smoothstep(*SIDE_COLUMNS, np.abs(place - 0.5))[None]
    rows = smoothstep(*CHEEK_ROWS[:2], place)[:, None] * smoothstep(*CHEEK_ROWS[:1:-1], place)[:, None]
    certain = source & (texels.facing > LEAST_CERTAIN)
    if not certain.any():
        return np.zeros_like(texels.seen)
    expected, here = (
        np.log(image.clip(0.02)) for image in (blurred(nearest_filled(colour, certain), 8.0), colour)
    )
    apart = blurred(here - expected, 2.0)
    light = np.abs(apart.mean(axis=-1))
    tint = np.linalg.norm(apart - apart.mean(axis=-1, keepdims=True), axis=-1)
    unlike = np.maximum(smoothstep(*UNLIKE_LIGHT, light), smoothstep(*UNLIKE_TINT, tint))
    very = smoothstep(*VERY_UNLIKE, light)
    slanted, turned = (smoothstep(*reversed(limits), texels.facing) for limits in (SLANTED, TURNED))
    found = np.maximum(unlike * slanted, very * turned) * aside * rows
    found = ndimage.gaussian_filter(ndimage.grey_dilation(found * texels.seen, size=(9, 9)), 2.0)
    under = smoothstep(*CHEEK_ROWS[2:], place)[:, None] * smoothstep(*reversed(JAW_GRAZING), texels.facing)
    return np.maximum(found, under * texels.seen)


def _holes(owned: np.ndarray, *, aside: bool) -> np.ndarray:
    """Return the holes in the skin that are ears (``aside``), or else the gap between the lips."""
    labels, count = ndimage.label(ndimage.binary_fill_holes(owned) & ~owned)
    if not count:
        return np.zeros_like(owned)
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, numbers)
    column = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))[:, 1] / owned.shape[1]
    chosen = (sizes >= LEAST_GAP) & ((np.abs(column - 0.5) > SIDE_COLUMNS[1]) == aside)
    return np.concatenate([[False], chosen])[labels]


def _with_smooth_lips(
    rgb: Float[np.ndarray, "height width 3"], owned: np.ndarray
) -> Float[np.ndarray, "height width 3"]:
    """Return the texture with smooth colours along the inner edge of the lips, which go on in the gap between them.

    The photograph of a closed mouth has a dark line there, of about a texel; where the lips part, it would be stairs.
    """
    gap = _holes(owned, aside=False)
    if not gap.any():
        return rgb
    distance = ndimage.distance_transform_edt(~gap)
    near = distance < 6 * LIP_RIM
    continued = nearest_filled(rgb, owned & (distance > LIP_RIM))
    share = LIP_LIGHT * np.exp(-np.square(distance / LIP_RIM))[..., None]
    lighter = nearest_filled(rgb + (continued - rgb) * share, ~gap)
    soft = blurred(lighter, LIP_BLUR)
    mix = smoothstep(3 * LIP_RIM, LIP_RIM, distance)[..., None]
    return np.where(near[..., None], lighter + (soft - lighter) * mix, rgb)


def without_covered_sides(
    texture: Float[np.ndarray, "height width 4"],
    texels: SeenTexels,
    beside: Float[np.ndarray, "size size"],
    z: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width 4"]:
    """Make the sides of the head transparent where the photograph does not show them and has hair or a hat beside it:
    the relief, which has these, is behind.

    ``beside`` is the person's opacity beside the head, carried on under it, in the photograph's view; ``z`` is that of
    the texels in the neutral face, world units.
    """
    everywhere = replace(texels, seen=texels.owned)
    covered = everywhere.read(beside[..., None])[..., 0] * smoothstep(*SIDES_Z, z)
    hidden = ndimage.gaussian_filter((texels.seen == 0).astype(np.float32), 1.5)
    above_jaw = smoothstep(*JAW_ROWS[::-1], np.linspace(0, 1, len(z)))[:, None]
    opacity = texture[..., 3] * (1 - covered * hidden * above_jaw)
    return np.concatenate([texture[..., :3], opacity[..., None]], axis=-1)


def _opacity(texels: SeenTexels, share: Float[np.ndarray, "size size"]) -> Float[np.ndarray, "height width"]:
    """Return the person's opacity at the seen texels, 1 elsewhere.

    Where the head turns away, a head that is fitted a few pixels too wide would lose broad strips of its side; so the
    person is a little wider there.
    """
    wide = ndimage.grey_dilation(share, size=(2 * WIDER_PX + 1, 2 * WIDER_PX + 1))
    exact, tolerant = np.moveaxis(texels.read(np.dstack([share, wide])), -1, 0)
    grazing = smoothstep(TOLERANT[1], TOLERANT[0], texels.facing)
    return np.where(texels.seen > 0, exact + (np.maximum(tolerant, exact) - exact) * grazing, 1.0)


def _mirrored(
    colour: np.ndarray, known: np.ndarray, source: np.ndarray
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """Return the mirror image of the seen half, with the light of this half, and how far it is to be believed."""
    detail = nearest_filled(colour, source > 0.5)
    low, here = blurred(detail, LOW_PASS), blurred(known, LOW_PASS)
    ratio = np.maximum(here, 0.02) / np.maximum(low[:, ::-1], 0.02)
    trust = ndimage.gaussian_filter(source[:, ::-1], 3.0)
    mean = ratio.mean(axis=-1)
    alike = smoothstep(*ALIKE, np.minimum(mean, 1 / mean))
    return detail[:, ::-1] * ratio.clip(0.5, 2.0), smoothstep(0.4, 0.95, trust) * alike
