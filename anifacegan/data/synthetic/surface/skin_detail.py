"""Detail of skin that is finer than the mesh: a texture map of pores, lines, mottles, freckles and moles.

The map is the same for everyone and computed once from a fixed seed; how strongly each of its layers shows is a
person's own. It uses the texture coordinates of the face model, with texels of about half a millimetre.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, Int8
from scipy import ndimage

from anifacegan.geometry.rasterization.numba_kernels import draw_triangles
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.compiled import kernel

TEXEL = 0.005
"""Length of a texel on the skin, in model units, for which the map's size is chosen."""
LARGEST_SIZE = 2048
"""Largest height and width of the map, texels."""
MARGIN = 2
"""Number of texels by which the map continues beyond the edges of connected pieces of skin in the texture."""
SEED = 5
LAYERS = 8
"""Number of layers: gradient of the bumps' height along x, y, z of the head; mottles of millimetres and of half
millimetres; freckles; moles; and a number of each mole, 0 to 1, that decides who has it."""
LAYER_SCALES = (0.25, 0.25, 0.25, 4.0, 4.0, 1.0, 1.0, 1.0)
"""Largest absolute value of each layer; the map stores values as 127ths of it."""
FRECKLE_SIZES = ((1.2, 20_000), (2.0, 7_000))
"""Pairs of the radius of freckles in texels, and how many are drawn on a map of the largest size."""
MOLES = 260
"""Number of moles that are drawn on a map."""


@dataclass(frozen=True)
class TextureLayout:
    """Where the triangles of a mesh lie in a square texture."""

    uv: Float[np.ndarray, "corner 2"]
    """Texture coordinates, 0 to 1, u to the right and v downward."""
    corners: Int[np.ndarray, "triangle 3"]
    """Indices in ``uv`` of each triangle's corners."""


@dataclass(frozen=True)
class SkinRegions:
    """How much each vertex belongs to regions of the skin, 0 to 1."""

    lips: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the lips, which have creases instead of pores."""
    freckled: Float[np.ndarray, " vertex"]
    """How strong freckles are at each vertex."""
    porous: Float[np.ndarray, " vertex"]
    """How large pores are at each vertex."""


@dataclass(frozen=True)
class SkinDetail:
    """Texture map of the skin's detail, and where each corner of each triangle lies in it."""

    layers: Int8[np.ndarray, "size size 8"]
    """Values of each layer (see ``LAYERS``) in 127ths of ``LAYER_SCALES``; rows run down."""
    layout: TextureLayout
    """Texture coordinates of the triangles."""


def skin_detail(
    mean: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    layout: TextureLayout,
    regions: SkinRegions,
) -> SkinDetail:
    """Draw the texture map of the skin's detail on a mean head.

    Args:
        mean: vertices of the mean head, model units.
        triangles: vertex indices of the triangles of the skin.
        layout: texture coordinates of the same triangles, in the same order.
        regions: regions of the skin, at the vertices.
    """
    size = map_size(mean, triangles, layout)
    rng = np.random.default_rng(SEED)
    corners = layout.corners
    x, y = (layout.uv.astype(np.float64) * size - 0.5).T
    owner = np.full((size, size), -1, np.int32)
    draw_triangles(x, y, np.ones(len(x)), corners, owner, np.zeros((size, size), np.float32))
    rows, columns = np.nonzero(owner >= 0)
    if len(rows) == 0:
        return SkinDetail(np.zeros((size, size, LAYERS), np.int8), layout)
    found = owner[rows, columns]
    weights = _barycentric(x[corners[found]], y[corners[found]], columns, rows).astype(np.float32)

    def over_map(values: np.ndarray) -> np.ndarray:
        out = np.zeros((size, size, *values.shape[1:]), np.float32)
        out[rows, columns] = np.einsum("pk,pk...->p...", weights, values[triangles[found]])
        return _with_margin(out, owner >= 0)

    place, lips = over_map(mean), np.clip(over_map(regions.lips), 0, 1)
    gradient = _surface_gradient(_bumps(place, lips, over_map(regions.porous), rng), place)
    middle, fine = _noise(size, 6.0, rng), _noise(size, 1.6, rng)
    moles, phase = _moles(size, rng)
    layers = [
        *np.moveaxis(gradient, -1, 0), middle, fine,
        _freckles(size, rng) * np.clip(over_map(regions.freckled), 0, 1), moles * (1 - lips), phase,
    ]  # fmt: skip
    scaled = [np.clip(layer / most, -1, 1) * 127 for layer, most in zip(layers, LAYER_SCALES, strict=True)]
    return SkinDetail(np.ascontiguousarray(np.rint(np.stack(scaled, -1)).astype(np.int8)), layout)


def map_size(
    mean: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"], layout: TextureLayout
) -> int:
    """Choose the height and width, in texels, of the texture map of the skin's detail, so that a texel is ``TEXEL``
    model units long in the median triangle.

    Args:
        mean: vertices of the mean head, model units.
        triangles: vertex indices of the triangles of the skin.
        layout: texture coordinates of the same triangles.
    """
    a, b, c = (mean[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    p, q, r = (layout.uv[layout.corners[:, k]] for k in range(3))
    in_map = np.abs((q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0])
    used = in_map > 0
    if not used.any():
        return 16
    return int(np.clip(np.median(np.sqrt(area[used] / in_map[used])) / TEXEL, 16, LARGEST_SIZE))


def _with_margin(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Continue values a few texels beyond the charts, whose texels are ``inside``; changed in place."""
    known = inside.copy()
    for _ in range(MARGIN):
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            new = np.roll(known, shift, axis) & ~known
            values[new] = np.roll(values, shift, axis)[new]
            known |= new
    return values


def _barycentric(x: np.ndarray, y: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the weights of the corners (P, 3) at points of the plane."""
    ux, uy, vx, vy = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
    dx, dy = column - x[:, 0], row - y[:, 0]
    area = ux * vy - uy * vx
    second, third = (dx * vy - dy * vx) / area, (ux * dy - uy * dx) / area
    return np.stack([1 - second - third, second, third], axis=1)


def _noise(size: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise with mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size), np.float32), sigma, mode="wrap")
    return noise / noise.std()


def _bumps(place: np.ndarray, lips: np.ndarray, porous: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the height of pores, fine grain and the lips' creases, in model units."""
    size = len(place)
    pores = -np.maximum(_noise(size, 1.1, rng) - 0.6, 0) * (0.5 + 0.9 * np.clip(porous, 0, 1))
    skin = 0.0008 * pores + 0.0003 * _noise(size, 1.5, rng) + 0.0003 * _noise(size, 3.0, rng)
    bend = 2.5 * _noise(size, 7.0, rng)
    creases = np.sin(place[..., 0] * 150 + bend) + 0.7 * np.sin(place[..., 0] * 235 - 0.8 * bend)
    return skin * (1 - lips) + lips * (0.0005 * creases + 0.0003 * _noise(size, 2.0, rng))


def _surface_gradient(height: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the gradient of a height over the surface, (size, size, 3) along the axes of the head."""
    pu, pv = np.gradient(place, axis=1), np.gradient(place, axis=0)
    hu, hv = np.gradient(height, axis=1), np.gradient(height, axis=0)
    uu, vv, uv = (pu * pu).sum(-1) + 1e-8, (pv * pv).sum(-1) + 1e-8, (pu * pv).sum(-1)
    determinant = np.maximum(uu * vv - uv * uv, 1e-12)
    along_u, along_v = (vv * hu - uv * hv) / determinant, (uu * hv - uv * hu) / determinant
    return along_u[..., None] * pu + along_v[..., None] * pv


def _freckles(size: int, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros((size, size), np.float32)
    for sigma, count in FRECKLE_SIZES:
        count = math.ceil(count * (size / LARGEST_SIZE) ** 2)
        dots = np.zeros((size, size), np.float32)
        dots[rng.integers(size, size=count), rng.integers(size, size=count)] = rng.uniform(0.3, 1, count)
        dots = ndimage.gaussian_filter(dots, sigma)
        total += dots / dots.max()
    return np.clip(total, 0, 1)


def _moles(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw soft discs, and around each of them its number between 0 and 1."""
    cover, phase = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for _ in range(MOLES):
        row, column, radius, number = (
            rng.integers(size),
            rng.integers(size),
            rng.uniform(1.6, 3.6),
            rng.random(),
        )
        reach = 8
        window = tuple(slice(max(at - reach, 0), min(at + reach, size)) for at in (row, column))
        rows, columns = np.ogrid[window]
        distance = np.hypot(rows - row, columns - column)
        cover[window] = np.maximum(cover[window], smoothstep(radius + 1, radius - 1, distance))
        phase[window] = number
    return cover, phase


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def read_detail(layers, scales, u, v, out):
    """Interpolate all layers of the skin's detail bilinearly at a point of the texture.

    Args:
        layers: (size, size, LAYERS) int8 map.
        scales: (LAYERS,) factors of its values, 1 / 127 of ``LAYER_SCALES``.
        u, v: texture coordinates, 0 to 1, u to the right and v downward.
        out: (LAYERS,) receives the values.
    """
    size = len(layers)
    x, y = u * size - np.float32(0.5), v * size - np.float32(0.5)
    column, row = int(np.floor(x)), int(np.floor(y))
    column, row = min(max(column, 0), size - 2), min(max(row, 0), size - 2)
    fx, fy = x - np.float32(column), y - np.float32(row)
    for layer in range(len(scales)):
        top = layers[row, column, layer] + fx * (
            layers[row, column + 1, layer] - np.float32(layers[row, column, layer])
        )
        low = layers[row + 1, column, layer] + fx * (
            layers[row + 1, column + 1, layer] - np.float32(layers[row + 1, column, layer])
        )
        out[layer] = (top + fy * (low - top)) * scales[layer]
