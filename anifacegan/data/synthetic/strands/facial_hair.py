"""Brows and beards: short strands that grow on the skin and move with it in every expression."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import Beard, Brows
from anifacegan.data.synthetic.strands.bristles import bristles
from anifacegan.data.synthetic.strands.head_chart import HeadChart, chart_values
from anifacegan.data.synthetic.strands.roots import (
    WAVES,
    Roots,
    StrandNoise,
    opacity,
    scatter_roots,
    shaded,
    skin_triangles,
    strand_noise,
    tangent,
)
from anifacegan.data.synthetic.strands.strands import LEAST_COVER, Strands
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.data.synthetic.surface.value_noise import random_waves
from anifacegan.geometry.normals import unit
from anifacegan.geometry.resampling import smoothstep

BROW_SIDES = (0.05, 0.09, 0.19, 0.29, 0.38, 0.47, 0.53)
BROW_HEIGHTS = (0.392, 0.402, 0.430, 0.442, 0.424, 0.370, 0.330)
"""Distances from the middle of the face, and the height of the middle of the brow at each of them; model units."""
THICKNESS_SIDES = (0.05, 0.12, 0.3, 0.42, 0.5)
BROW_THICKNESS = (0.024, 0.030, 0.026, 0.016, 0.010)
"""Distances from the middle of the face, and half the thickness of the brow at each of them; model units."""
BROW_ENDS = (0.085, 0.48)
"""Distances of the inner and outer ends of the brows from the middle of the face, model units."""
BROW_REGION = 0.16
"""Largest height difference of a root from the middle of the mean brow, model units."""
BROW_STRANDS, BEARD_STRANDS = 7_000, 20_000
BROW_STEPS, BEARD_STEPS = 5, 6
BROW_LENGTH, BROW_WIDTH_MM, BEARD_WIDTH_MM = 0.062, 0.19, 0.19
ON_SURFACE = 0.06
"""Largest depth of a root below the outermost surface, model units: no hair grows in the mouth or in the nose."""


@dataclass(frozen=True)
class BrowRoots:
    """Roots around both brows, the same for everyone."""

    roots: Roots
    """The roots as points of the mesh."""
    noise: StrandNoise
    """Random numbers of the strands."""
    side: Float[np.ndarray, " root"]
    """Distance of each root from the middle of the mean face, model units."""
    height: Float[np.ndarray, " root"]
    """Height of each root above the middle of the mean brow, model units."""
    sign: Float[np.ndarray, " root"]
    """Side of each root: 1 at the person's left, -1 at the right."""


@dataclass(frozen=True)
class BeardRoots:
    """Roots in the region of a full beard, the same for everyone."""

    roots: Roots
    """The roots as points of the mesh."""
    noise: StrandNoise
    """Random numbers of the strands."""
    full: Float[np.ndarray, " root"]
    """How much each root belongs to a full beard, 0 to 1, with random gaps."""
    moustache: Float[np.ndarray, " root"]
    """How much each root belongs to the upper lip, 0 to 1."""
    chin: Float[np.ndarray, " root"]
    """How much each root belongs to the chin, 0 to 1."""
    sign: Float[np.ndarray, " root"]
    """Side of each root, from -1 (the person's right) to 1, smooth over the middle."""
    low: Float[np.ndarray, " root"]
    """How much each root belongs to the chin's underside and the jaw, where a beard is longest, 0 to 1."""


def prepare_brows(head: HeadGeometry) -> BrowRoots:
    """Scatter the roots of the hairs of both brows over the mean face, with a fixed seed, so that they are the same for
    everyone.
    """
    mean = head.mean.reshape(-1, 3)
    rng = np.random.default_rng(11)
    side, above = np.abs(mean[:, 0]), above_brow(mean)
    near = (np.abs(above) < BROW_REGION) & (side < BROW_ENDS[1] + 0.12) & (mean[:, 2] > -0.4)
    skin = skin_triangles(head)
    density = near * np.exp(-((above / 0.07) ** 2))
    roots = scatter_roots(mean, skin, density.astype(np.float32), BROW_STRANDS, rng)
    places = roots.at(mean)
    return BrowRoots(
        roots=roots,
        noise=strand_noise(places, rng),
        side=np.abs(places[:, 0]),
        height=above_brow(places).astype(np.float32),
        sign=np.sign(places[:, 0]).astype(np.float32),
    )


def above_brow(places: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, " place"]:
    """Return the height of points of the mean face above the middle of the mean brow, model units."""
    return places[:, 1] - np.interp(np.abs(places[:, 0]), BROW_SIDES, BROW_HEIGHTS)


def grow_brows(
    prepared: BrowRoots,
    brows: Brows,
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
) -> Strands:
    """Grow a person's brows on the face.

    Args:
        prepared: roots of the brows, see :func:`prepare_brows`.
        brows: shape, density and colour of the person's brows.
        vertices, normals: vertices and unit normals of the person's head with an expression, model units.
    """
    share, across, along = brow_share(brows, prepared.side, prepared.height)
    noise = prepared.noise
    # roots are dense at the mean brow; the share makes up for it
    crowd = np.exp(np.minimum((prepared.height / 0.07) ** 2, 2))
    cover = opacity(np.minimum(0.85 * brows.density * share * np.minimum(crowd, 3), 1), noise.rank)
    shown = np.flatnonzero(cover > LEAST_COVER)
    roots, noise = prepared.roots.select(shown), noise.select(shown)
    across, along, sign = across[shown], along[shown], prepared.sign[shown]
    # the inner end stands up, the rest lies outward, and the upper edge leans down to meet the lower one
    up = 1.1 * (1 - along) - 0.15 * along - 0.50 * across * along + 0.08
    wish = np.stack([sign * (0.30 + 0.75 * along), up, np.zeros_like(up)], axis=1) + 0.16 * noise.stray
    upright = roots.unit_at(normals)
    direction = unit(tangent(wish.astype(np.float32), upright))
    length = (
        BROW_LENGTH * (0.65 + 0.5 * noise.length) * (0.75 + 0.25 * brows.thickness) * (1 - 0.35 * along**2)
    )
    bend = np.stack([0.30 * sign, -0.30 - 0.1 * across, np.zeros_like(up)], axis=1)
    points = bristles(
        roots.at(vertices),
        upright,
        direction,
        length.astype(np.float32),
        (0.12 + 0.15 * noise.layer).astype(np.float32),
        bend.astype(np.float32),
        BROW_STEPS,
    )
    return Strands(
        points, shaded(brows.rgb, noise.shade), cover[shown], shown, BROW_WIDTH_MM, 0.5, 0.25, on_scalp=False
    )


def brow_share(
    brows: Brows, side: Float[np.ndarray, " place"], height: Float[np.ndarray, " place"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute how much points of the mean face belong to a person's brow, and where in the brow they are.

    Args:
        brows: the person's brows.
        side: distance of the points from the middle of the face, model units.
        height: height of the points above the middle of the mean brow, model units.

    Returns:
        For each point: how much it belongs to the brow, 0 to 1; its position across the brow, -1 at the lower and 1 at
        the upper edge; and how far it is beyond the brow's inner end, 0 to 1.
    """
    inner, outer = BROW_ENDS
    line = brows.height + brows.tilt * (side - 0.28) + brows.arch * np.exp(-(((side - 0.34) / 0.09) ** 2))
    half = 1.05 * max(brows.thickness, 0.05) * np.interp(side, THICKNESS_SIDES, BROW_THICKNESS)
    across = np.clip((height - line) / half, -2.5, 2.5)
    share = np.exp(-(np.abs(across) ** 3)) * smoothstep(outer + 0.04, outer - 0.10, side)
    share = (
        share
        * (0.25 + 0.75 * smoothstep(inner, inner + 0.07, side))
        * smoothstep(inner - 0.05, inner + 0.02, side)
    )
    return share.astype(np.float32), across.astype(np.float32), smoothstep(inner - 0.03, inner + 0.13, side)


def prepare_beard(head: HeadGeometry, chart: HeadChart) -> BeardRoots:
    """Scatter the roots of a full beard over the mean face, with a fixed seed.

    ``chart`` says how far the head reaches in each direction from the middle of the skull; roots inside the mouth or
    the nose are left out.
    """
    mean = head.mean.reshape(-1, 3)
    rng = np.random.default_rng(12)
    skin = skin_triangles(head)
    beard = head.parts.beard_mask.astype(np.float32)
    roots = scatter_roots(mean, skin, smoothstep(0.02, 0.3, beard).astype(np.float32), BEARD_STRANDS, rng)
    roots = roots.select(_outermost(roots, chart, mean))
    places = roots.at(mean)
    patchy = 0.8 + 0.25 * random_waves(places, 9.0, rng, WAVES) + 0.1 * random_waves(places, 30.0, rng, WAVES)
    return BeardRoots(
        roots=roots,
        noise=strand_noise(places, rng),
        full=np.clip(roots.at(beard) * np.clip(patchy, 0.3, 1.2), 0, 1).astype(np.float32),
        moustache=roots.at(head.parts.moustache_mask),
        chin=np.clip(roots.at(head.parts.goatee_mask) - roots.at(head.parts.moustache_mask), 0, 1),
        sign=np.tanh(places[:, 0] / 0.06).astype(np.float32),
        low=smoothstep(-0.55, -0.8, places[:, 1]).astype(np.float32),
    )


def grow_beard(
    prepared: BeardRoots,
    beard: Beard,
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
) -> Strands | None:
    """Grow a person's beard on the face; None if the person has none.

    Args:
        prepared: roots of a full beard, see :func:`prepare_beard`.
        beard: shape, density and colour of the person's beard.
        vertices, normals: vertices and unit normals of the person's head with an expression, model units.
    """
    cover = opacity(beard_share(beard, prepared.full, prepared.moustache, prepared.chin), prepared.noise.rank)
    shown = np.flatnonzero(cover > LEAST_COVER)
    if len(shown) == 0:
        return None
    roots, noise = prepared.roots.select(shown), prepared.noise.select(shown)
    lip, low, sign, full = (
        values[shown] for values in (prepared.moustache, prepared.low, prepared.sign, prepared.full)
    )
    upright = roots.unit_at(normals)
    wish = np.stack([sign * (0.10 + 0.75 * lip), -1.0 + 0.35 * lip, 0.15 + 0 * lip], axis=1)
    wish = wish + 0.20 * noise.stray + 0.25 * noise.drift
    direction = unit(tangent(wish.astype(np.float32), upright))
    length = (
        beard.length * (0.45 + 0.75 * noise.length) * (0.4 + 0.6 * full) * (1 - 0.45 * lip) * (1 + 0.5 * low)
    )
    long = float(np.clip(beard.length / 0.10, 0, 1))
    rise = (0.35 + 0.35 * long) * (0.6 + 0.8 * noise.layer) * (1 - 0.5 * lip)
    bend = 0.5 * long * (noise.drift + 0.6 * noise.stray)
    points = bristles(
        roots.at(vertices),
        upright,
        direction,
        length.astype(np.float32),
        rise.astype(np.float32),
        bend.astype(np.float32),
        BEARD_STEPS,
    )
    return Strands(
        points, shaded(beard.rgb, noise.shade), cover[shown], shown, BEARD_WIDTH_MM, 2.0, 0.35, on_scalp=False
    )


def beard_share(
    beard: Beard,
    full: Float[np.ndarray, " place"],
    moustache: Float[np.ndarray, " place"],
    chin: Float[np.ndarray, " place"],
) -> Float[np.ndarray, " place"]:
    """Return the share of the roots at points of the face whose hairs grow in a person's beard, 0 to 1.

    Args:
        beard: the person's beard.
        full: how much the points belong to a full beard, 0 to 1.
        moustache, chin: how much they belong to the upper lip and to the chin, 0 to 1; the rest is cheeks and neck.
    """
    rest = np.clip(1 - moustache - chin, 0, 1)
    regions = moustache * beard.moustache + chin * beard.chin + rest * beard.cheeks
    return (beard.density * full * np.clip(regions, 0, 1)).astype(np.float32)


def _outermost(
    roots: Roots, chart: HeadChart, mean: Float[np.ndarray, "vertex 3"]
) -> Int[np.ndarray, " kept"]:
    """Return the indices of roots that lie on the outermost surface of the mean head."""
    places = roots.at(mean)
    surface = chart_values(chart.radii(mean)[..., None], chart.centre, places)[:, 0]
    return np.flatnonzero(np.linalg.norm(places - chart.centre, axis=1) > surface - ON_SURFACE)
