"""Light on strands: diffuse light and highlights of thin fibres, with the shadows of head and hair.

A fibre with the unit tangent t reflects diffusely in proportion to the sine of the angle between t and the light
(Kajiya and Kay 1989, "Rendering fur with three dimensional textures"). The lamp makes two highlights, which the scales
of the fibre shift along it (R and TRT of Marschner et al. 2003, "Light scattering from human hair fibers"). The first
is white: its light is reflected at the surface. The second has the colour of the hair: its light has passed through the
fibre twice. The viewing direction is always the frontal one, (0, 0, 1), so a point has the same colour in every view.

Light is gathered at every third point of a strand, and interpolated at the points between. A point is lit when a
drawing first needs it, because most points are hidden.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import EnvironmentLight
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.surface.shadow_maps import HAIR, SOLID, ShadowMaps, project
from anifacegan.runtime.compiled import kernel

EVERY_LAMP, EVERY_SKY = 2, 3
"""Strands are lit from every second direction on the lamp and every third direction in the sky; skin is lit from
all."""
DIFFUSE = np.float32(0.60)
"""Factor of the diffuse light on strands."""
ROOT_DARK, TIP_LIGHT = np.float32(0.72), np.float32(1.10)
"""Factors on the colour of the hair of the head, at the root and at the tip. Roots lie in the shade of other
strands."""
SOLID_FROM = np.float32(0.05)
"""A point is in the shadow of a solid surface if, seen from the light, it is farther behind the surface than this;
model units."""
SHIFT_R, WIDTH_R, GAIN_R = np.float32(0.06), np.float32(0.11), np.float32(0.06)
SHIFT_TRT, WIDTH_TRT, GAIN_TRT = np.float32(-0.12), np.float32(0.22), np.float32(1.0)
"""Shift along the fibre and width of the two highlights, radians, and their strengths."""
FIRST_POINT, STEPS, FIRST_STRAND, ON_SCALP = range(4)
"""Columns of ``FlatStrands.kinds``."""
LIT, COLOURED = np.uint8(1), np.uint8(2)
"""Flags of ``PointColours.known``: the light at a point is computed, and so is its colour."""


class StrandLight(NamedTuple):
    """Light and shadows on the strands of a person, from U of the D directions of the shadow maps."""

    depth: np.ndarray
    """(D, size, size, 2) depth maps, see ``ShadowMaps.depth``."""
    used: np.ndarray
    """(U,) indices of the used directions among all, those on the lamp's disc first."""
    axes: np.ndarray
    """(U, 9) unit vectors of each used map: to the right and up in the map, and to the light."""
    radiance: np.ndarray
    """(U, 3) linear RGB colour that each used direction gives a white surface that faces it."""
    centre: np.ndarray
    """(3,) point of the head's frame that all maps show in their centre, model units."""
    scale: np.float32
    """Pixels of a map for each model unit."""
    lamps: int
    """Number of used directions on the lamp's disc."""
    key_direction: np.ndarray
    """(3,) unit direction to the middle of the lamp."""
    key_rgb: np.ndarray
    """(3,) linear RGB irradiance of a surface that faces the lamp."""


class FlatStrands(NamedTuple):
    """Strands of K kinds (hair of the head, brows, lashes, beard) in one list: P points of N strands."""

    points: np.ndarray
    """(P, 3) points, kind by kind, strand by strand and from root to tip; model units."""
    kinds: np.ndarray
    """(K, 4) for each kind: index of its first point, points of each strand, index of its first strand, and whether it
    is hair of the head."""
    looks: np.ndarray
    """(K, 2) for each kind: absorption of light for each model unit of hair above it, and factor of the highlights."""
    rgb: np.ndarray
    """(N, 3) linear colours of the strands."""
    number: np.ndarray
    """(N,) number of each strand, see ``Strands.number`` in :mod:`.strands`."""


class PointColours(NamedTuple):
    """Light and colours of the P points of :class:`FlatStrands`, as far as they have been computed."""

    known: np.ndarray
    """(P,) uint8: LIT where ``light`` is computed, plus COLOURED where ``rgb`` is; 0 at first."""
    light: np.ndarray
    """(P, 4) diffuse RGB light, and the visible share of the lamp, 0 to 1."""
    rgb: np.ndarray
    """(P, 3) linear colours with light."""


def flat_strands(strands: list[Strands]) -> FlatStrands:
    """Join strands of several kinds (hair of the head, brows, lashes, beard) to one list."""
    counts = [kind.points.shape[:2] for kind in strands]
    points, lines = (np.cumsum([0, *each]) for each in ([n * k for n, k in counts], [n for n, _ in counts]))
    kinds = [(points[i], counts[i][1], lines[i], kind.on_scalp) for i, kind in enumerate(strands)]
    return FlatStrands(
        points=np.concatenate(
            [np.zeros((0, 3), np.float32), *(kind.points.reshape(-1, 3) for kind in strands)]
        ),
        kinds=np.array(kinds, np.int64).reshape(-1, 4),
        looks=np.array([(kind.absorption, kind.shine) for kind in strands], np.float32).reshape(-1, 2),
        rgb=np.concatenate([np.zeros((0, 3), np.float32), *(kind.rgb for kind in strands)], dtype=np.float32),
        number=np.concatenate([np.zeros(0, np.int64), *(kind.number for kind in strands)], dtype=np.int64),
    )


def unknown_colours(count: int) -> PointColours:
    """Return arrays for the colours of ``count`` points of strands, none of which is computed yet."""
    return PointColours(
        np.zeros(count, np.uint8), np.empty((count, 4), np.float32), np.empty((count, 3), np.float32)
    )


def strand_light(shadows: ShadowMaps, light: EnvironmentLight) -> StrandLight:
    """Choose some of the light's directions to light strands, and collect their light and shadow maps.

    Args:
        shadows: shadow maps of all directions.
        light: the light, for the highlights of the lamp.
    """
    keys, count = shadows.keys, len(shadows.towards)
    lamp, sky = np.arange(0, keys, EVERY_LAMP), np.arange(keys, count, EVERY_SKY)
    used = np.concatenate([lamp, sky])
    gain = np.concatenate(
        [
            np.broadcast_to(_ratio(shadows.radiance[:keys], shadows.radiance[lamp]), (len(lamp), 3)),
            np.broadcast_to(_ratio(shadows.radiance[keys:], shadows.radiance[sky]), (len(sky), 3)),
        ]
    )
    axes = np.concatenate([shadows.rights[used], shadows.ups[used], shadows.towards[used]], axis=1)
    return StrandLight(
        depth=shadows.depth,
        used=used,
        axes=axes.astype(np.float32),
        radiance=(shadows.radiance[used] * gain).astype(np.float32),
        centre=shadows.centre,
        scale=np.float32(shadows.scale),
        lamps=len(lamp),
        key_direction=light.key_direction.astype(np.float32),
        key_rgb=light.key_rgb.astype(np.float32),
    )


def no_light() -> StrandLight:
    """Return a light that comes from no direction, for drawings of strands whose colours are not needed."""
    maps, vectors = np.zeros((0, 0, 0, 2), np.float32), np.zeros((0, 3), np.float32)
    return StrandLight(
        depth=maps, used=np.zeros(0, np.int64), axes=np.zeros((0, 9), np.float32), radiance=vectors,
        centre=np.zeros(3, np.float32), scale=np.float32(1), lamps=0, key_direction=np.zeros(3, np.float32),
        key_rgb=np.zeros(3, np.float32),
    )  # fmt: skip


def _ratio(of_all: Float[np.ndarray, "direction 3"], of_used: Float[np.ndarray, "used 3"]) -> np.ndarray:
    """Return the factor by which the light of the used directions is multiplied to replace the light of all."""
    return of_all.sum(axis=0) / np.maximum(of_used.sum(axis=0), 1e-6)


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _lobe(x, shift, width):
    distance = (x - shift) / width
    return np.exp(-distance * distance)


@kernel(inline="always", fastmath=True)
@no_type_check
def _tangent(points, base, k, steps):
    """Return the unit direction of a strand at its point k; ``base`` is the strand's first point."""
    a, b = base + max(k - 1, 0), base + min(k + 1, steps - 1)
    x, y, z = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    norm = np.float32(1) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-9))
    return x * norm, y * norm, z * norm


@kernel(inline="always", fastmath=True)
@no_type_check
def _gather(points, base, k, steps, absorption, light):
    """Gather the diffuse light of a point, three numbers, and the visible share of the lamp."""
    zero, one, size = np.float32(0), np.float32(1), light.depth.shape[1]
    half = np.float32((size - 1) / 2)
    centre, axes, scale = light.centre, light.axes, light.scale
    tx, ty, tz = _tangent(points, base, k, steps)
    i = base + k
    px, py, pz = points[i, 0] - centre[0], points[i, 1] - centre[1], points[i, 2] - centre[2]
    red = green = blue = arrives = zero
    for d in range(len(light.used)):
        m = light.used[d]
        own = axes[d]
        column, row, depth = project(px, py, pz, own, scale, half)
        c, r = int(column + np.float32(0.5)), int(row + np.float32(0.5))
        visible = one
        if 0 <= c < size and 0 <= r < size:
            if light.depth[m, r, c, SOLID] - depth > SOLID_FROM:
                continue
            thick = light.depth[m, r, c, HAIR] - depth
            if thick > zero:
                visible = np.exp(-absorption * thick)
        along = tx * own[6] + ty * own[7] + tz * own[8]
        if d < light.lamps:
            arrives += visible
        visible *= np.sqrt(max(zero, one - along * along))
        red += light.radiance[d, 0] * visible
        green += light.radiance[d, 1] * visible
        blue += light.radiance[d, 2] * visible
    return red, green, blue, arrives / np.float32(light.lamps)


@kernel(inline="always", fastmath=True)
@no_type_check
def colour_point(i, strands, light, colours):
    """Compute the colour of one point of hair strands and store it in ``colours.rgb``.

    The light at the point is interpolated between two points of its strand. Where their light is not computed yet, it
    is computed, and stored in ``colours.light``.

    Args:
        i: index of the point in ``strands.points``.
        strands: :class:`FlatStrands`, the points of all hair strands.
        light: :class:`StrandLight`, light sources and shadows.
        colours: :class:`PointColours` of these strands, changed in place.
    """
    zero, one = np.float32(0), np.float32(1)
    kinds, points, lit = strands.kinds, strands.points, colours.light
    kind = 0
    while kind + 1 < len(kinds) and kinds[kind + 1, FIRST_POINT] <= i:
        kind += 1
    steps, strand = kinds[kind, STEPS], (i - kinds[kind, FIRST_POINT]) // kinds[kind, STEPS]
    base = kinds[kind, FIRST_POINT] + strand * steps
    strand += kinds[kind, FIRST_STRAND]
    k = i - base
    stride = 1 if steps < 5 else (2 if steps < 10 else 3)
    before = k if k == steps - 1 else k - k % stride
    after = k if k == before else min(before + stride, steps - 1)
    for at in (before, after):
        if colours.known[base + at] == 0:
            red, green, blue, arrives = _gather(points, base, at, steps, strands.looks[kind, 0], light)
            lit[base + at, 0], lit[base + at, 1] = red, green
            lit[base + at, 2], lit[base + at, 3] = blue, arrives
            colours.known[base + at] |= LIT
    near, far = base + before, base + after
    share = np.float32(k - before) / np.float32(max(after - before, 1))
    tx, ty, tz = _tangent(points, base, k, steps)
    key = light.key_direction
    sin_in, sin_out = tx * key[0] + ty * key[1] + tz * key[2], tz
    # half the sum of the two inclinations; the arcsine matters only where it is small
    tilt = np.float32(0.5) * (
        np.float32((strands.number[strand] * 7919) % 1024) / np.float32(1024) - np.float32(0.5)
    )
    half_angle = np.float32(0.5) * (sin_in + sin_out) + np.float32(0.25) * tilt
    facing = key[2] - sin_in * sin_out
    facing /= np.sqrt(max((one - sin_in * sin_in) * (one - sin_out * sin_out), np.float32(1e-4)))
    front = np.sqrt(min(max(np.float32(0.5) + np.float32(0.5) * facing, zero), one))
    shone = strands.looks[kind, 1] * (lit[near, 3] + share * (lit[far, 3] - lit[near, 3])) * front
    white = shone * GAIN_R * _lobe(half_angle, SHIFT_R, WIDTH_R)
    tinted = shone * GAIN_TRT * _lobe(half_angle, SHIFT_TRT, WIDTH_TRT)
    dark = one
    if kinds[kind, ON_SCALP]:
        along = np.float32(k) / np.float32(steps - 1)
        dark = ROOT_DARK + (TIP_LIGHT - ROOT_DARK) * min(one, np.float32(1.5) * along)
    for c in range(3):
        own = strands.rgb[strand, c]
        diffuse = DIFFUSE * dark * own * (lit[near, c] + share * (lit[far, c] - lit[near, c]))
        colours.rgb[i, c] = diffuse + (white + tinted * own * np.sqrt(own)) * light.key_rgb[c]
    colours.known[i] |= COLOURED
